"""The plain values of a rollout."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from saferollout.domain.endpoint import Baseline, Decision, describe


@pytest.mark.parametrize(
    ("traffic", "words"), [({}, "none"), ({"blue": 100}, "blue=100"), ({"green": 10, "blue": 90}, "blue=90 green=10")]
)
def test_traffic_in_words(traffic: dict[str, int], words: str) -> None:
    """The same traffic always reads the same."""
    assert describe(traffic) == words


@pytest.mark.parametrize("wrong", [{"decision": "maybe"}, {"stage": "ten"}, {"at": "soon"}])
def test_a_decision_is_approve_or_reject(wrong: dict[str, Any]) -> None:
    """Nothing else counts as an answer."""
    right = {"stage": 10, "decision": "approve", "approver": "ann", "at": "2025-01-02T03:04:05Z", "evidence": "e"}

    with pytest.raises(ValidationError):
        Decision.model_validate(right | wrong)


def test_the_share_of_a_decision_is_called_stage_in_json() -> None:
    """What Prefect, the history and programs keep under that name stays readable, with the approvals before it."""
    at = datetime(2025, 1, 2, tzinfo=UTC)
    first = Decision(share=10, decision="approve", approver="ann", at=at, evidence="e")
    decision = first.model_copy(update={"others": (first,)})
    kept = decision.model_dump(mode="json")

    assert (kept["stage"], kept["others"][0]["stage"]) == (10, 10)
    assert "share" not in kept | kept["others"][0]
    assert Decision.model_validate(kept) == Decision.model_validate_json(decision.model_dump_json()) == decision
    assert Decision.model_validate(kept | {"share": 100}).share == 10


def test_values_do_not_change() -> None:
    """What was decided on stays what it was."""
    baseline = Baseline(live="blue", instance_count=1)

    with pytest.raises(ValidationError, match="frozen"):
        baseline.live = "red"  # type: ignore[misc]  # it is frozen
