"""Whose approval counts."""

from datetime import UTC, datetime
from typing import Any

import pytest

from saferollout.approvals.approvers import combine, describe_rules, is_same, refusal, stranger
from saferollout.approvals.person import Person
from saferollout.approvals.requester import Requester, find_requester
from saferollout.config.approvals import ApprovalsConfig, Verify
from saferollout.config.rollout import RolloutConfig
from saferollout.domain.endpoint import Choice, Decision


def given(approver: str, decision: Choice = "approve") -> Decision:
    """What somebody answers."""
    return Decision(share=10, decision=decision, approver=approver, at=datetime(2026, 1, 2, tzinfo=UTC), evidence="e")


def rules(**settings: Any) -> ApprovalsConfig:
    """Rules for approvals."""
    return ApprovalsConfig.model_validate(settings)


@pytest.mark.parametrize(
    ("name", "other"),
    [("Ann", "ann"), (" Ann  Lee", "ann lee"), ("Zoe\u0308", "Zo\u00eb"), ("\uff21nn", "Ann")],
)
def test_a_person_is_one_however_the_name_is_written(name: str, other: str) -> None:
    """Case, spaces and the way in which letters are composed make nobody another person."""
    assert is_same(name, other)
    assert not is_same(name, "Bob")
    assert not stranger(rules(approvers=[other]), name)


def test_by_default_anybody_approves() -> None:
    """As it always was."""
    assert stranger(rules(), "Ann") == ""
    assert refusal(rules(), "Ann", given("Ann"), []) == ""


def test_a_stranger_decides_nothing() -> None:
    """Neither does somebody without a name."""
    named = rules(approvers=["Ann", "Bob"])

    assert stranger(named, "Mallory") == "Mallory is not among the approvers"
    assert stranger(named, "\u200b \t") != ""
    assert stranger(rules(), " \t") == "no approver is named"


def test_nobody_approves_an_own_rollout_but_may_reject_it() -> None:
    """The way back is never blocked."""
    strict = rules(not_requester=True)

    assert refusal(strict, "ann", given("Ann"), []) == "Ann requested this rollout, and another person must approve it"
    assert refusal(strict, "ann", given("Ann", "reject"), []) == ""
    assert refusal(strict, "ann", given("Bob"), []) == ""


def test_two_approvals_are_by_two_people() -> None:
    """Whoever approves a second time is refused."""
    two = rules(required=2)

    assert refusal(two, "", given("ANN"), [given("Ann")]) == "ANN has approved already, and another person must, too"
    assert refusal(two, "", given("Bob"), [given("Ann")]) == ""
    assert [one.approver for one in combine([given("Ann"), given("Bob")]).all] == ["Ann", "Bob"]


def test_the_rules_are_said() -> None:
    """Whoever decides reads who may, and what the name is worth."""
    assert describe_rules(rules(), "") == "May be approved by anybody, self-declared: nobody has checked the name."
    said = describe_rules(rules(approvers=["Ann", "Bob"], required=2, not_requester=True, verify="totp"), "Eve")
    assert said == (
        "May be approved by one of Ann, Bob, by a code of the approver's own, which works once. "
        "2 different approvers must approve; one rejection rolls back. Not by Eve, who requested it."
    )


@pytest.mark.parametrize(
    ("said", "name", "source"),
    [
        (("Eve", "Ann", "sched"), "Eve", "the event"),
        (("", "Ann", "sched"), "Ann", "who started the run"),
        ((" ", "", "sched"), "sched", "Prefect"),
        (("", "", ""), "", ""),
        (("a\nb" * 90, "", ""), ("a b" * 90)[:60], "the event"),
    ],
)
def test_a_requester_is_who_is_said_to_be_one(said: tuple[str, str, str], name: str, source: str) -> None:
    """The event knows best, Prefect least; it comes back from a tag."""
    found = find_requester(*said)

    assert (found.name, found.source) == (name, source)
    assert Requester.parse(str(found)) == found
    assert ("nobody has checked it" in found.words) == bool(name)


def test_a_person_is_one_of_a_list_by_name_group_or_role() -> None:
    """A name that looks like a group is none, and a group is written exactly."""
    ann = Person(
        issuer="https://id",
        subject="1",
        name="Ann@example.org",
        memberships=("group:ml", "role:Approver"),
        signed_in_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    for listed in ("ann@example.org", "group:ml", "role:Approver", "*"):
        assert ann.is_one_of(["bob", listed])
    for other in ("group:ML", "group:Approver", "ml", "ann"):
        assert not ann.is_one_of([other])
    assert not ann.model_copy(update={"name": "group:admins", "memberships": ()}).is_one_of(["group:admins"])


def test_groups_are_known_only_where_approvers_sign_in() -> None:
    """And how many people are in one nobody knows here."""
    with pytest.raises(ValueError, match="set verify: oidc, or name people"):
        rules(approvers=["group:ml"])
    assert rules(approvers=["group:ml"], verify="oidc", required=3).required == 3


def test_one_person_under_two_names_approves_once() -> None:
    """Many providers let people choose theirs."""
    first, second = (given(name).model_copy(update={"identity": "https://id 1"}) for name in ("Ann", "Bob"))

    assert refusal(rules(), "", second, [first]) == "Bob has approved already, and another person must, too"
    assert refusal(rules(), "", second.model_copy(update={"identity": "https://id 2"}), [first]) == ""


def test_a_stage_says_only_what_is_otherwise() -> None:
    """What it leaves out is as for all stages, also in a config that was kept and is read again."""
    config = RolloutConfig.model_validate(
        {
            "endpoint": "endpoint.yml",
            "deployment": "green.yml",
            "approvals": {"approvers": ["ann", "bob"], "verify": "totp", "not_requester": True},
            "stages": [{"traffic": 10}, {"traffic": 100, "approvals": {"required": 2, "not_requester": False}}],
        }
    )
    for read in (config, RolloutConfig.model_validate_json(config.model_dump_json())):
        first, last = map(read.approvals_of, read.stages)
        assert first == read.approvals
        assert (last.approvers, last.verify, last.required) == (("ann", "bob"), Verify.TOTP, 2)
        assert (first.not_requester, last.not_requester) == (True, False)
