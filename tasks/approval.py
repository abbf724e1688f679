"""Approval: a person decides on the evidence. Asked from a flow, since a task cannot suspend its run."""

import asyncio
import hashlib
import itertools
import json
import re
import textwrap
from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

import httpx
import tenacity
from prefect import get_client, runtime, task
from prefect.client.orchestration import PrefectClient
from prefect.flow_runs import apause_flow_run, asuspend_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.states import Running
from pydantic import ConfigDict, Field, ValidationError, create_model

from saferollout.config.rollout import StageConfig
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import Rejected
from saferollout.domain.evidence import Evidence, headlines, markdown_table
from saferollout.domain.text import one_line
from saferollout.report.outcome import seconds
from saferollout.rollout import drift
from saferollout.rollout.question import note_question
from saferollout.rollout.record import Question, fitted, now
from saferollout.rollout.rollout import Rollout
from tasks.support.access import in_workspace
from tasks.support.artifacts import publish
from tasks.support.names import named
from tasks.support.orchestrator import passing
from tasks.support.policy import GATE, STEP
from tasks.support.this_run import ThisRun, run_id

FINDING_LENGTH = 200
POLL_S = 2
ANSWER = ("decision", "approver", "comment", "evidence")
UNKNOWN = "The tag saferollout.approval-{} claims an approval that Prefect does not know; asked again."
ANONYMOUS = re.compile(r"(?:CliV2AnonymousEnvironment:)?([0-9a-f]{8})[0-9a-f-]{24,}(?::1)?")
NEVER_S = 10 * 365 * 86400
GRACE_S = 86400
"""The server's own end of a pause comes that much later: it would fail the run before this one could roll back."""


def _with_evidence(schema: dict[str, Any]) -> None:
    """An answer must say what it is an answer to, though the form fills that in."""
    schema["required"] = ["decision", "approver", "evidence"]


Verdict = Literal["approve", "reject"]
REJECT = "Reject rolls everything back."


class Approval(RunInput):
    """The form that a person fills in."""

    model_config = ConfigDict(json_schema_extra=_with_evidence)

    decision: Verdict = Field(description=REJECT)
    approver: str = Field(min_length=1, max_length=60, description="Your name, for the record.")
    comment: str = Field("", max_length=500, description="Why, for the record.")


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
    """Wait for a person's answer and return the approval.

    Where the run is deployed it is suspended: no process waits, and the flow starts again from its top when the
    answer is there. Elsewhere the process waits. The answer belongs to this rollout, stage and evidence: a later
    question is a new one whose form takes no answer to this one, the same question is not asked again. What a tag says
    of an approval counts only where Prefect's record of the answer agrees; else that is reported, and asked again.
    `again` asks although the stage was approved before; `shown` takes the place of what the candidate changes, and
    `reject` says what a no leads to.

    Raises:
        Rejected: The answer is no, or none comes in time.
    """
    name = hashlib.sha256(f"{question} {rollout.id} {rollout.revision}".encode()).hexdigest()[:12]
    claim = None if again else rollout.approvals.get(stage.traffic)
    if claim and (given := await _recorded(rollout, stage, claim, f"{name}-{stage.traffic}-{claim.evidence}")):
        return given
    parts = [f"# {question}", headlines(evidence), shown or await changes(rollout, stage, question)]
    shown = "\n\n".join([*parts, *(item.details for item in evidence)])
    digest = hashlib.sha256(f"{rollout.id}{rollout.revision}{shown}".encode()).hexdigest()[:12]
    shown += f"\n\nEvidence `{digest}`"
    if claim:
        shown = shown.replace("\n\n", f"\n\n**⚠️ {UNKNOWN.format(stage.traffic)}**\n\n", 1)
        get_run_logger().warning(UNKNOWN.format(stage.traffic))
    form = make_form(
        digest, *(f"{found.gate}: {found.verdict} — {found.summary}" for found in reversed(evidence)), reject=reject
    )
    form = form.with_initial_data(description=shown)
    key = f"{name}-{stage.traffic}-{digest}"
    asked = await note(rollout, stage)
    timeout_s = max(1, int((asked.until - now()).total_seconds())) if asked.until else NEVER_S
    if given := await _given(form, key):
        answer = given
    elif runtime.deployment.id:
        answer = await _suspend(form, timeout_s, key, rollout.project.config.orchestrator_grace_s)
    else:
        try:
            async with asyncio.timeout(timeout_s):
                pause = _pause(form, timeout_s + GRACE_S, key)
                answer = await ThisRun(rollout.project.config.orchestrator_grace_s).unless_stopped(pause)
        except TimeoutError:
            await _close_question()
            msg = f"nobody approved {stage.traffic}% within {seconds(stage.approval_timeout_s)}"
            raise Rejected(msg) from None
    decision = Decision(
        stage=stage.traffic,
        decision=answer.decision,
        approver=answer.approver,
        comment=answer.comment,
        at=now(),
        evidence=digest,
        rollout=rollout.id,
        flow_run=str(run_id()),
    )
    if decision.decision == "reject":
        msg = f"{decision.approver} rejected {stage.traffic}%" + (f": {decision.comment}" if decision.comment else "")
        raise Rejected(one_line(msg), decision)
    return decision


@task(task_run_name=named("ask for {stage.traffic}%"), **STEP)
async def note(rollout: Rollout, stage: StageConfig) -> Question:
    """Put the question on the endpoint's record; see `saferollout.rollout.question.note_question`."""
    return await in_workspace(rollout, lambda azure: note_question(azure, rollout, stage))


async def _recorded(rollout: Rollout, stage: StageConfig, claim: Decision, key: str) -> Decision | None:
    """The approval that a tag claims, whole, as Prefect keeps it; None if Prefect's record does not agree.

    Prefect names an answer after the question, the rollout, the revision, the share and the evidence, so that none of
    another one is found. A tag never holds an approval of a share that was not reached: both are set in one change.
    """
    if rollout.share < stage.traffic or (claim.rollout, claim.stage) != (rollout.id, stage.traffic):
        return None
    if not claim.evidence.isalnum():
        return None  # it becomes part of an address
    try:
        asked_by = UUID(claim.flow_run)
    except ValueError:
        return None
    for found in await _stored(asked_by, key):
        if isinstance(found, dict):
            decision = claim.model_copy(update={name: found.get(name, "") for name in ANSWER})
            return decision if decision.decision == "approve" and fitted(decision) == claim else None
    return None


async def _given(form: Any, key: str) -> Any:
    """The approval that this very question got in an earlier attempt of this run; None without one.

    A run that is retried would ask again: Prefect forgets then which pauses are over, but not the answers. While its
    server fails there is none to find, and asking waits for the server.

    Raises:
        HTTPError: Prefect's server refused.
        JSONDecodeError: The answer was not Prefect's.
    """
    try:
        kept = await _stored(run_id(), key)
    except (httpx.HTTPError, json.JSONDecodeError) as error:
        if not passing(error):
            raise
        return None
    for stored in kept:
        try:
            found = form.model_validate(stored)
        except ValidationError:
            continue
        if (found.decision, found.evidence) == ("approve", form.model_fields["evidence"].default):
            return found
    return None


async def _stored(asked_by: UUID, key: str) -> list[Any]:
    """The answers to a question that Prefect keeps among a run's inputs."""
    keys = [f"{waited}-{key}-response" for waited in ("paused", "suspended")]
    async with get_client() as client:  # Prefect's own helper leaves its connection open
        kept = [await client.filter_flow_run_input(asked_by, key, limit=1, exclude_keys=set()) for key in keys]
    return [stored.decoded_value for stored in itertools.chain(*kept)]


def make_form(evidence: str, *findings: str, reject: str = REJECT) -> Any:
    """The form for an answer to this evidence: the server takes no other one.

    On a small screen the evidence above the fields needs scrolling; what it found stands with the decision, too.
    """
    shown = Field(evidence, json_schema_extra={"const": evidence})
    lines = [textwrap.shorten(one_line(finding), FINDING_LENGTH, placeholder=" …") for finding in findings]
    decision = Field(description="\n".join([*lines, reject]))
    return create_model("Approval", __base__=Approval, decision=(Verdict, decision), evidence=(str, shown))


async def _pause(form: Any, timeout_s: int, key: str) -> Any:
    """Wait for an answer, without end while Prefect's server fails: how long it may is for `ThisRun` to say.

    Prefect's own pause ends with the first answer of 500.

    Raises:
        HTTPError: Prefect's server refused for good.
        JSONDecodeError: The answer was not Prefect's, for good.
    """
    while True:
        try:
            await _until_running(form)
            return await apause_flow_run(wait_for_input=form, timeout=timeout_s, poll_interval=POLL_S, key=key)
        except (httpx.HTTPError, json.JSONDecodeError) as error:
            if not passing(error):
                raise
            get_run_logger().warning("the question stays open while Prefect's server fails: %r", error)
            await asyncio.sleep(POLL_S)


async def _suspend(form: Any, timeout_s: int, key: str, grace_s: float) -> Any:
    """Suspend the run until there is an answer, and return it; Prefect's own call ends with the first answer of 500.

    Raises:
        HTTPError: Prefect's server refused, or failed for `grace_s` seconds.
        JSONDecodeError: The answer was not Prefect's, for as long.
    """
    tried = False

    async def attempt() -> Any:
        nonlocal tried
        if tried:
            await _complete(form)  # of a run that is suspended Prefect's own call writes no question
        tried = True
        return await asuspend_flow_run(wait_for_input=form, timeout=timeout_s, key=key)

    suspending = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(_may_pass),
        wait=tenacity.wait_fixed(POLL_S),
        stop=tenacity.stop_after_delay(grace_s),
        before_sleep=lambda _: get_run_logger().warning(
            "Prefect's server fails; the question is asked again when it answers"
        ),
        reraise=True,
    )
    return await suspending(attempt)


def _may_pass(error: BaseException) -> bool:
    """Whether another attempt may suspend the run; also where half of the question was written, and the reply lost."""
    return passing(error) or (isinstance(error, httpx.HTTPStatusError) and error.response.status_code == 409)


async def _complete(form: Any) -> None:
    """Write the question of a run that is suspended already, as far as it is missing."""
    async with get_client() as client:
        state = (await client.read_flow_run(run_id())).state
        if state and state.is_paused() and (keys := state.state_details.run_input_keyset):
            await _write(client, form, keys)


async def _until_running(form: Any) -> None:
    """Return once the run is not paused; a question that could not be written when it was paused is written now."""
    is_written = False
    async with get_client() as client:
        while (state := (await client.read_flow_run(run_id())).state) and not state.is_running():
            if not is_written and state.is_paused() and (keys := state.state_details.run_input_keyset):
                await _write(client, form, keys)
                is_written = True
            await asyncio.sleep(POLL_S)


async def _write(client: PrefectClient, form: Any, keys: dict[str, str]) -> None:
    """Write form and question, of which the second comes last, unless both are there."""
    kept = [
        await client.filter_flow_run_input(run_id(), keys[part], limit=1, exclude_keys=set())
        for part in ("schema", "description")
    ]
    if all(kept):
        return
    if any(kept):
        await client.delete_flow_run_input(run_id(), keys["schema"])
    await form.asave(keys)


async def _close_question() -> None:
    """Go on as running: whoever answers too late gets that as the reply."""
    async with get_client() as client:
        await publish(client.set_flow_run_state(run_id(), Running(), force=True))


def brief(version: str) -> str:
    """An asset's name and version short enough for a form: an anonymous asset's is a long hash."""
    found = ANONYMOUS.fullmatch(version)
    return f"{found[1]}…" if found else version


@task(task_run_name=named("compare {rollout.candidate} with {rollout.live}"), **GATE)
async def changes(rollout: Rollout, stage: StageConfig, question: str) -> str:  # noqa: ARG001  # they are in the cache's key
    """What the candidate changes, as a table in markdown, and a warning if it will have few instances.

    It is kept as it was when the question was asked: an autoscaler must not make another question of it.
    """
    state = await in_workspace(rollout, lambda azure: drift.unchanged(azure, rollout, is_settled=False))
    live, candidate = state.deployments[rollout.live], state.deployments[rollout.candidate]
    rows = [
        {
            "": name,
            f"live ({rollout.live})": before,
            f"candidate ({rollout.candidate})": after,
            "changed": "yes" if before != after else "",
        }
        for name, before, after in (
            ("model", live.model, candidate.model),
            ("code", brief(live.code), brief(candidate.code)),
            ("environment", brief(live.environment), brief(candidate.environment)),
            ("instances", str(live.instance_count), str(candidate.instance_count)),
            ("revision", live.tags.get("saferollout.revision", "—"), rollout.revision),
        )
    ]
    kept = " · ".join(f"{name} {value}" for name, value in rollout.project.inputs.items())
    warning = rollout.few_instances(candidate.instance_count, live.instance_count)
    warned = f"\n**⚠️ {warning}**\n" if warning else ""
    return f"{markdown_table(rows)}\nThe same for every gate of this run: {kept}\n{warned}"
