"""What an endpoint's tags claim of an approval, and what proves it: anybody who may write the endpoint writes tags."""

from uuid import UUID

from saferollout.approvals.approvers import combine, refusal, stranger
from saferollout.approvals.history import HistoryEvent
from saferollout.approvals.keys import Keyring
from saferollout.approvals.question import key_of
from saferollout.approvals.tag import fitted, is_signed
from saferollout.config.rollout import StageConfig
from saferollout.domain.endpoint import Decision
from saferollout.rollout.rollout import Rollout
from tasks.support import answers, history


async def prove(rollout: Rollout, stage: StageConfig, claim: Decision, name: str, keys: Keyring) -> Decision | None:
    """The approval that a tag claims, whole; None if nothing proves it.

    A tag never holds an approval of a share that was not reached: both are set in one change.
    """
    bound = (claim.rollout, claim.share, claim.decision)
    if rollout.share < stage.traffic or bound != (rollout.id, stage.traffic, "approve"):
        return None
    known = await history.rulings(rollout.endpoint, rollout.id, keys) if keys or rollout.changes else {}
    if rollout.changes and not _is_of_now(rollout, claim, known):
        return None
    if keys:
        if not is_signed(claim, keys):
            return None
        prefix = key_of(name, claim.evidence, 0)
        given = [
            event.decision
            for question, event in known.items()
            if question.startswith(prefix) and event.decision and event.kind == "decision"
        ]
        whole = combine(given).model_copy(update={"signature": claim.signature}) if given else claim
        return whole if fitted(whole) == claim else claim
    return await _kept(rollout, stage, claim, name)


def _is_of_now(rollout: Rollout, claim: Decision, known: dict[str, HistoryEvent]) -> bool:
    """Whether it approves the candidate as somebody else has made it since, by the history."""
    decisions = [event.decision for event in known.values() if event.kind == "decision" and event.decision]
    digest = rollout.made_of.digest if rollout.made_of else ""
    return any((each.evidence, each.deployment) == (claim.evidence, digest) for each in decisions)


async def _kept(rollout: Rollout, stage: StageConfig, claim: Decision, name: str) -> Decision | None:
    """The approval that a tag claims, as Prefect keeps the answers; None if its record does not agree.

    Prefect names an answer after the question, the rollout, the revision, the share and the evidence, so that none of
    another one is found.
    """
    if not claim.evidence.isalnum():
        return None  # it becomes part of an address
    try:
        asked_by = UUID(claim.flow_run)
    except ValueError:
        return None
    rules = rollout.project.config.approvals_of(stage)
    taken: list[Decision] = []
    round_ = 0
    while len(taken) < rules.required:
        answer = await answers.find_answer(asked_by, key_of(name, claim.evidence, round_))
        if answer is None or answer.get("evidence") != claim.evidence:
            return None
        texts = {key: str(answer.get(key, "")) for key in ("approver", "comment")}
        given = claim.model_copy(update=texts | {"proof": "none"})
        if not stranger(rules, given.approver):
            if answer.get("decision") != "approve":
                return None
            if not refusal(rules, rollout.requester.name, given, taken):
                taken.append(given)
        round_ += 1
    whole = combine(taken)
    return whole if fitted(whole) == fitted(claim) else None
