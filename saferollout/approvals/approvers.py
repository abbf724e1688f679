"""Approvers: whose approval counts, and how many are needed."""

import unicodedata
from collections.abc import Sequence

from saferollout.config.approvals import ApprovalsConfig, Verify
from saferollout.domain.endpoint import Decision
from saferollout.domain.text import one_line

NAME_LENGTH = 60

PROOFS = {
    Verify.NONE: "self-declared: nobody has checked the name",
    Verify.TOTP: "by a code of the approver's own, which works once",
    Verify.OIDC: "by a sign-in at the approvals page",
}
"""How a decision's approver is proven, as the form and the report say it."""


def comparable_name(name: str) -> str:
    """A name by which a person is found again: however it is cased, spaced or composed."""
    return unicodedata.normalize("NFKC", one_line(name)).casefold()


def is_same(name: str, other: str) -> bool:
    """Whether both name the same person."""
    return comparable_name(name) == comparable_name(other)


def stranger(rules: ApprovalsConfig, name: str) -> str:
    """Why this name may not decide at all; empty if it may."""
    if not comparable_name(name):
        return "no approver is named"
    if rules.approvers and not any(is_same(name, known) for known in rules.approvers):
        return f"{one_line(name)} is not among the approvers"
    return ""


def refusal(rules: ApprovalsConfig, requester: str, given: Decision, taken: Sequence[Decision]) -> str:
    """Why an approval by somebody who may decide does not count; empty if it does. Anybody's rejection counts."""
    if given.decision == "reject":
        return ""
    if rules.not_requester and requester and is_same(given.approver, requester):
        return f"{one_line(given.approver)} requested this rollout, and another person must approve it"
    if any(_are_one(given, earlier) for earlier in taken):
        return f"{one_line(given.approver)} has approved already, and another person must, too"
    return ""


def _are_one(given: Decision, earlier: Decision) -> bool:
    """Whether one person gave both, also under another name: at many providers people choose theirs."""
    same = bool(given.identity) and given.identity == earlier.identity
    return same or is_same(given.approver, earlier.approver)


def combine(taken: Sequence[Decision]) -> Decision:
    """The last of the approvals that were needed, with the others."""
    return taken[-1].model_copy(update={"others": tuple(taken[:-1])})


def describe_rules(rules: ApprovalsConfig, requester: str) -> str:
    """Who may approve, and how that is proven, in a sentence each."""
    who = f"one of {', '.join(rules.approvers)}" if rules.approvers else "anybody"
    parts = [f"May be approved by {who}, {PROOFS[rules.verify]}."]
    if rules.required > 1:
        parts.append(f"{rules.required} different approvers must approve; one rejection rolls back.")
    if rules.not_requester:
        parts.append(f"Not by {requester}, who requested it." if requester else "Not by who requested it.")
    return " ".join(parts)
