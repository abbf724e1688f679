"""A decision in a tag: short enough, whole where it fits, and worth nothing if any part of it was changed."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saferollout.approvals.tag import MAX_LENGTH, fitted, from_tag, is_signed, sign, to_tag
from saferollout.domain.endpoint import Decision
from tests.support.signing import make_keys, make_pem

KEYS = make_keys()
BOUND = {"rollout": "12345678", "revision": "ba9876543210"}
DECISION = Decision(
    share=10,
    decision="approve",
    approver="Ann",
    comment="fine",
    proof="totp",
    at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    evidence="0123456789ab",
    flow_run="00000000-0000-0000-0000-000000000001",
    deployment="cba987654321",
    **BOUND,
)


def written(decision: Decision) -> str:
    """The tag of a signed decision."""
    return to_tag(fitted(sign(decision, KEYS)))


def test_a_signed_decision_comes_back_and_holds() -> None:
    """All that a later process needs is in the tag; what it is bound to is in the others."""
    read = from_tag(10, written(DECISION), **BOUND)

    assert is_signed(read, KEYS)
    assert read.model_copy(update={"signature": ""}) == fitted(DECISION)
    assert (read.approver, read.comment, read.proof) == ("Ann", "fine", "totp")


@given(st.text(max_size=60), st.text(max_size=500))
def test_every_signed_decision_fits(approver: str, comment: str) -> None:
    """Whatever a person writes: the value has at most 256 characters, and its signature holds."""
    value = written(DECISION.model_copy(update={"approver": approver, "comment": comment}))
    read = from_tag(10, value, **BOUND)

    assert len(value) <= MAX_LENGTH
    assert is_signed(read, KEYS)
    assert fitted(read) == read
    assert approver.startswith(read.approver.removesuffix("…"))


def test_a_name_is_whole_where_the_comment_is_cut() -> None:
    """Who decided matters more than why."""
    read = from_tag(10, written(DECISION.model_copy(update={"approver": "A" * 60, "comment": "c" * 500})), **BOUND)

    assert read.approver == "A" * 60
    assert read.comment.endswith("c…")


@pytest.mark.parametrize(
    "forged",
    [
        {"share": 100},
        {"rollout": "r-2"},
        {"revision": "0" * 12},
        {"decision": "reject"},
        {"approver": "Mallory"},
        {"proof": "none"},
        {"at": datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)},
        {"evidence": "0" * 12},
        {"flow_run": "00000000-0000-0000-0000-000000000002"},
        {"comment": "other"},
        {"signature": ""},
        {"signature": "A" * 86},
    ],
    ids=lambda forged: next(iter(forged)),
)
def test_what_was_changed_is_not_signed(forged: dict[str, Any]) -> None:
    """Every part of a decision is under the signature."""
    read = from_tag(10, written(DECISION), **BOUND)

    assert is_signed(read, KEYS)
    assert not is_signed(read.model_copy(update=forged), KEYS)
    assert not is_signed(read, make_keys(make_pem()))


def test_the_tag_of_another_rollout_is_not_signed() -> None:
    """A tag that was copied from an earlier rollout, or from the share before, is good as it is, and not here."""
    value = written(DECISION)

    assert not is_signed(from_tag(100, value, **BOUND), KEYS)
    assert not is_signed(from_tag(10, value, rollout="87654321", revision=BOUND["revision"]), KEYS)
    assert not is_signed(from_tag(10, value, rollout=BOUND["rollout"], revision="0" * 12), KEYS)


JSON = st.none() | st.booleans() | st.integers() | st.text()


@given(st.text() | JSON.map(json.dumps) | st.lists(JSON, min_size=8, max_size=8).map(json.dumps))
def test_whatever_somebody_writes_counts_for_nothing(value: str) -> None:
    """What cannot be read makes no rollout fail: it is a claim that nothing proves."""
    assert not is_signed(from_tag(10, value, **BOUND), KEYS)


def test_a_tag_of_an_earlier_version_is_read() -> None:
    """Without a signature it counts as any other that has none."""
    value = json.dumps(
        {"stage": 10, "decision": "approve", "approver": "Ann", "at": "2026-01-01T00:00:00Z", "evidence": "e"}
    )
    read = from_tag(10, value, **BOUND)

    assert (read.share, read.approver, read.signature) == (10, "Ann", "")
    assert not is_signed(read, KEYS)
