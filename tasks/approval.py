"""Approval: people decide on the evidence. Asked from a flow, since a task cannot suspend its run."""

import asyncio
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from prefect import runtime, task
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_UI_URL
from pydantic import ValidationError

from saferollout.approvals.approvers import combine, describe_rules, refusal, stranger
from saferollout.approvals.history import HistoryEvent
from saferollout.approvals.keys import Keyring
from saferollout.approvals.question import (
    REJECT,
    TAMPERED,
    UNKNOWN,
    UNSIGNED,
    Question,
    compare_deployments,
    make_question,
    name_of,
    wants_code,
    wants_proof,
)
from saferollout.approvals.signed_answer import UNKNOWN as NOT_SIGNED
from saferollout.approvals.signed_answer import difference, digest_of, open_sealed
from saferollout.approvals.tag import sign
from saferollout.azure.reading import is_final
from saferollout.config.approvals import ApprovalsConfig
from saferollout.config.rollout import StageConfig
from saferollout.domain.endpoint import Decision, DeploymentState, Value
from saferollout.domain.errors import Changed, Rejected
from saferollout.domain.evidence import Evidence
from saferollout.domain.fault_points import Step
from saferollout.domain.text import as_markdown, one_line
from saferollout.domain.words import clock
from saferollout.report.outcome import seconds
from saferollout.rollout import comparison, drift
from saferollout.rollout.question import note_question
from saferollout.rollout.record import OpenQuestion, now
from saferollout.rollout.rollout import Rollout
from tasks.support import answers, history
from tasks.support.access import in_workspace
from tasks.support.boundaries import bounded
from tasks.support.claims import prove
from tasks.support.codes import refuse_code
from tasks.support.forms import make_form
from tasks.support.keys import load_keys, load_page_keys
from tasks.support.names import named
from tasks.support.orchestrator import insist
from tasks.support.policy import GATE, STEP
from tasks.support.this_run import ThisRun, run_id

NEVER_S = 10 * 365 * 86400
COMPARE_S = 30
"""So long may it take to find which files and packages differ: a person is to be asked, with or without that."""
NOT_AN_ANSWER = "the run was resumed without an answer to this question"
GRACE_S = 86400
"""The server's own end of a pause comes that much later: it would fail the run before this one could roll back."""


class Change(Value):
    """What the candidate changes, as Azure showed it when the question was asked."""

    text: str
    deployment: str
    """The candidate's digest; empty where the question is about something else."""


@dataclass
class _Asking:
    """A question that is open, and what was answered so far."""

    rollout: Rollout
    stage: StageConfig
    rules: ApprovalsConfig
    keys: Keyring
    question: Question
    change: Change
    until: datetime | None
    """When it ends; None where it stays open."""
    taken: list[Decision] = field(default_factory=list)
    refused: int = 0
    changed: str = ""
    """What somebody else has changed of the candidate since the question was asked."""

    async def look(self) -> str:
        """What somebody else has changed of the candidate; empty if nothing, or if the question is not about it."""
        if self.change.deployment:
            self.changed = await look_for_change(self.rollout, self.stage, self.change)
        return self.changed


@bounded(Step.ASK)
async def ask(
    rollout: Rollout,
    stage: StageConfig,
    evidence: Sequence[Evidence],
    *,
    question: str,
    again: bool = False,
    shown: str = "",
    reject: str = REJECT,
) -> Decision:
    """Wait until as many people as the config says have approved, and return the last approval with the others.

    Where the run is deployed it is suspended: no process waits, and the flow starts again from its top when an
    answer is there. Elsewhere the process waits. An answer belongs to this rollout, stage and evidence: a later
    question is a new one whose form takes no answer to this one, the same question is not asked again. An answer that
    does not count is refused, and the question stays. What a tag says of an approval counts only with a worker's
    signature or, where no key is configured, where Prefect's record of the answer agrees; else that is reported, and
    asked again. `again` asks although the stage was approved before; `shown` takes the place of what the candidate
    changes, and `reject` says what a no leads to.

    Where somebody else has changed the candidate since, no approval counts, and nobody is asked about what it was.

    Raises:
        Changed: The candidate is no longer what the question shows.
        Rejected: An answer is no, or not enough come in time.
    """
    config = rollout.project.config
    rules, grace_s = config.approvals_of(stage), config.orchestrator_grace_s
    keys = await insist(load_keys, grace_s)
    name = name_of(question, stage.traffic, rollout=rollout.id, revision=rollout.revision)
    claim = None if again else rollout.approvals.get(stage.traffic)
    if claim and (given := await insist(lambda: prove(rollout, stage, claim, name, keys), grace_s)):
        return given
    until = (await note_open(rollout, stage)).until
    about = "\n\n".join([how_long(until), *evidence_link(rollout, evidence)])
    change = Change(text=shown, deployment="") if shown else await changes(rollout, stage, question, about)
    asked = make_question(
        question,
        name,
        evidence,
        change.text,
        rollout=rollout.id,
        revision=rollout.revision,
        deployment=change.deployment + (f" {rollout.changes}" if rollout.changes else ""),
    )
    always = [rollout.change] if rollout.change and not shown else []
    notes = [*always, *([TAMPERED.format(stage.traffic, UNSIGNED if keys else UNKNOWN)] if claim else [])]
    for note in notes:
        get_run_logger().warning(note)
    asking = _Asking(rollout, stage, rules, keys, asked, change, until)
    known = await insist(lambda: history.rulings(rollout.endpoint, rollout.id, keys), grace_s)
    round_ = 0
    while len(asking.taken) < rules.required:
        key = asked.key(round_)
        if (ruling := known.get(key)) is None:
            form = make_form(asked.digest, rules, evidence, notes, reject=reject, title=question)
            text = asked.render(notes)
            # a retry forgets which pauses are over, but not the answers
            kept = await insist(partial(answers.find_answer, run_id(), key), grace_s)
            if (answer := _valid(form, kept)) is None:
                if await asking.look():
                    raise Changed(asking.changed)
                answer = await _answer(asking, form.with_initial_data(description=text), key)
            ruling = await _rule(asking, answer, key, text)
        if wants_code(rules):
            await insist(partial(answers.forget_code, key), grace_s)
        if asking.changed:
            raise Changed(asking.changed)
        notes = [*always, *_follow(asking, ruling)]
        round_ += 1
    return sign(combine(asking.taken), keys)


def _follow(asking: _Asking, ruling: HistoryEvent) -> list[str]:
    """Go on after an answer; return what the next question says on top.

    Raises:
        Rejected: The answer is no.
    """
    decision = ruling.decision
    if ruling.kind == "refusal" or decision is None:
        asking.refused += 1
        note = f"Refused ({asking.refused} so far): {ruling.reason}"
        get_run_logger().warning(note)
        return [note]
    if decision.decision == "reject":
        why = f": {decision.comment}" if decision.comment else ""
        raise Rejected(one_line(f"{decision.approver} rejected {decision.share}%{why}"), decision)
    asking.taken.append(decision)
    names = ", ".join(one_line(given.approver) for given in asking.taken)
    return [f"{len(asking.taken)} of {asking.rules.required} approvals, by {names}; another person must approve, too."]


async def _rule(asking: _Asking, answer: Any, key: str, shown: str) -> HistoryEvent:
    """Say whether an answer counts, and put that into the history, which makes it final."""
    rollout, rules = asking.rollout, asking.rules
    grace_s = rollout.project.config.orchestrator_grace_s
    if answer is None or answer.decision == "approve":
        await asking.look()
    if answer is None:
        event = history.event_of(rollout, "refusal", NOT_AN_ANSWER, question=key)
        await insist(lambda: history.append(event, asking.keys), grace_s)
        return event
    decision = Decision(
        share=asking.stage.traffic,
        decision=answer.decision,
        approver=answer.approver,
        comment=answer.comment,
        proof=rules.verify.value,
        at=now().replace(microsecond=0),
        evidence=asking.question.digest,
        rollout=rollout.id,
        flow_run=str(run_id()),
        revision=rollout.revision,
        deployment=asking.change.deployment,
    )
    if wants_proof(rules):
        identity, reason = _signed_by(asking, answer, key, shown)
        decision = decision.model_copy(update={"identity": identity})
    else:
        reason = stranger(rules, decision.approver)
    if not reason and wants_code(rules):
        at = await insist(lambda: answers.answered_at(key), grace_s)
        code = answer.code.get_secret_value()
        reason = await insist(lambda: refuse_code(decision.approver, code, at, key), grace_s)
    reason = reason or refusal(rules, rollout.requester.name, decision, asking.taken)
    reason = reason or asking.changed
    if reason:
        decision = decision.model_copy(update={"proof": "none"})
    event = history.event_of(rollout, "refusal" if reason else "decision", reason, decision, question=key)
    await insist(lambda: history.append(event, asking.keys), grace_s)
    return event


def _signed_by(asking: _Asking, answer: Any, key: str, shown: str) -> tuple[str, str]:
    """Return the identity of who signed in to give the answer, and why it does not count; each empty without one."""
    if (signed := open_sealed(answer.proof, load_page_keys())) is None:
        return "", NOT_SIGNED
    given = {"decision": answer.decision, "approver": answer.approver, "comment": answer.comment}
    bound = {
        "flow_run": str(run_id()),
        "question": key,
        "evidence": asking.question.digest,
        "evidence_text": digest_of(shown),
    }
    if reason := difference(signed, bound | given):
        return "", reason
    approvers = asking.rules.approvers
    if approvers and not signed.person.is_one_of(approvers):
        return "", f"{one_line(signed.approver)} is not among the approvers"
    return signed.person.identity, ""


async def _answer(asking: _Asking, form: Any, key: str) -> Any:
    """Wait for an answer; None if the run goes on without one. An answer that is refused gives nobody more time.

    Raises:
        Rejected: None comes in time.
    """
    grace_s = asking.rollout.project.config.orchestrator_grace_s
    timeout_s = max(1, int((asking.until - now()).total_seconds())) if asking.until else NEVER_S
    if runtime.deployment.id:
        return await answers.suspend(form, timeout_s, key, grace_s)
    try:
        async with asyncio.timeout(timeout_s):
            return await ThisRun(grace_s).unless_stopped(answers.pause(form, timeout_s + GRACE_S, key))
    except TimeoutError:
        await answers.close_question()
        missing = "nobody" if not asking.taken else f"only {len(asking.taken)} of {asking.rules.required}"
        msg = f"{missing} approved {asking.stage.traffic}% within {seconds(asking.stage.approval_timeout_s)}"
        raise Rejected(msg) from None


def how_long(until: datetime | None) -> str:
    """Until when a question can be answered, and what happens then."""
    return f"Without an answer by {clock(until)} everything is rolled back." if until else "It stays open."


def evidence_link(rollout: Rollout, evidence: Sequence[Evidence]) -> list[str]:
    """The link to what was found last, which the guard keeps fresh while the question is open; none without a UI."""
    if not evidence or not (ui := PREFECT_UI_URL.value()):
        return []
    kind, _, share = evidence[-1].gate.removesuffix("%").partition(" at ")
    key = "-".join([rollout.endpoint.lower(), kind.replace(" ", "-"), *([share] if kind == "judge" else [])])
    return [f"[The evidence]({ui}/artifacts/key/{key}), as it is by now."]


def _valid(form: Any, kept: dict[str, Any] | None) -> Any:
    """The answer that is kept, if it is one to this question."""
    try:
        return form.model_validate(kept) if kept else None
    except ValidationError:
        return None


@task(task_run_name=named("ask for {stage.traffic}%"), **STEP)
@bounded(Step.NOTE_QUESTION)
async def note_open(rollout: Rollout, stage: StageConfig) -> OpenQuestion:
    """Put the question on the endpoint's record; see `saferollout.rollout.question.note_question`."""
    return await in_workspace(rollout, lambda azure: note_question(azure, rollout, stage))


@task(task_run_name=named("look whether {rollout.candidate} is what is shown for {stage.traffic}%"), **STEP)
async def look_for_change(rollout: Rollout, stage: StageConfig, shown: Change) -> str:  # noqa: ARG001  # in its name
    """What somebody else has changed of the candidate since it was `shown`; empty also before a change has ended."""
    state = await in_workspace(rollout, lambda azure: azure.get_endpoint(rollout.endpoint))
    if not is_final(state, rollout.candidate):
        return ""
    candidate = state.deployments[rollout.candidate]
    return "" if candidate.is_as(shown.deployment) else drift.describe_change(rollout, candidate)


@task(task_run_name=named("compare {rollout.candidate} with {rollout.live}"), **GATE)
async def changes(rollout: Rollout, stage: StageConfig, question: str, about: str = "") -> Change:  # noqa: ARG001  # the question is in the cache's key
    """What the candidate changes, who wanted it and who may approve it, and a warning if it will have few instances.

    It is kept as it was when the question was asked, with what is said `about` that: an autoscaler, or a worker that
    knows Prefect by another address, must not make another question of it.
    """
    state = await in_workspace(rollout, lambda azure: drift.require_unchanged(azure, rollout, is_settled=False))
    live, candidate = state.deployments[rollout.live], state.deployments[rollout.candidate]
    table = compare_deployments(
        live,
        candidate,
        live_revision=live.tags.get("saferollout.revision", "—"),
        revision=rollout.revision,
    )
    kept = " · ".join(f"{name} {value}" for name, value in rollout.project.inputs.items())
    warning = rollout.few_instances(candidate.instance_count, live.instance_count)
    warned = f"\n**⚠️ {warning}**\n" if warning else ""
    rules = describe_rules(rollout.project.config.approvals_of(stage), rollout.requester.name)
    why = f" Why: {rollout.project.request.why.strip().rstrip('.')}." if rollout.project.request.why.strip() else ""
    people = as_markdown(f"{rollout.requester.words}{why} {rules}")
    made_of = await describe_contents(rollout, live, candidate)
    text = f"{table}\n{made_of}\n\n{warned}\n{people}\n\n{about}\n\nThe same for every gate of this run: {kept}"
    return Change(text=text, deployment=candidate.digest)


async def describe_contents(rollout: Rollout, live: DeploymentState, candidate: DeploymentState) -> str:
    """Which files and packages differ; whatever goes wrong is said there, for it is not a reason to roll back."""
    try:
        async with asyncio.timeout(COMPARE_S):
            return await in_workspace(rollout, lambda azure: comparison.compare(azure, live, candidate))
    except TimeoutError:
        return comparison.unknown(f"Azure did not answer within {COMPARE_S} s")
    except Exception as error:  # noqa: BLE001  # whatever it is, it is shown
        where = "".join(traceback.format_tb(error.__traceback__))  # without its words, which may be of a file
        get_run_logger().warning("could not compare files and packages: %s\n%s", type(error).__name__, where)
        return comparison.unknown(f"looking at them failed with {type(error).__name__}")
