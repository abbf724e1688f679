"""Approval: who approves a stage, and the messages that people get about it."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta

from prefect import runtime
from prefect.logging import get_run_logger

from saferollout.config.rollout import Auto, OnTimeout, StageConfig
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import Rejected
from saferollout.domain.evidence import Evidence, GateVerdict, headlines
from saferollout.report.message import answer_message, question_message
from saferollout.rollout.record import now
from saferollout.rollout.rollout import Rollout
from tasks.approval import ask
from tasks.auto import approve_by_itself
from tasks.remind import remind_in_time
from tasks.support.messages import send_message
from tasks.support.this_run import run_id


async def approve(rollout: Rollout, stage: StageConfig, evidence: list[Evidence]) -> Decision | None:
    """Ask before the stage where it says so, and wherever a gate since the last one could not decide.

    What somebody else has made of the candidate gets no users before a person approves it, whatever the config says.
    """
    is_first = stage == rollout.project.config.stages[0]
    is_changed = bool(rollout.changes) and is_first
    gates = evidence if is_first else evidence[-1:]
    if not stage.approval and not is_changed and GateVerdict.UNDECIDED not in (gate.verdict for gate in gates):
        return None
    if stage.auto is Auto.HEALTHY and not is_changed and (decision := await approve_by_itself(rollout, stage, gates)):
        await send_message(rollout.project.config.notify, run_id(), answer_message(rollout.endpoint, decision))
        return decision
    question = f"Give {rollout.candidate} {stage.traffic}% of the traffic of {rollout.endpoint}?"
    return await _ask(rollout, stage, evidence, question)


async def approve_in_doubt(rollout: Rollout, stage: StageConfig, evidence: list[Evidence]) -> Decision:
    """Ask whether the candidate may keep what it has, since its judge is undecided."""
    question = f"The judge is undecided. Keep {rollout.candidate} at {stage.traffic}% of {rollout.endpoint}?"
    return await _ask(rollout, stage, evidence, question, again=True)


async def _ask(
    rollout: Rollout, stage: StageConfig, evidence: list[Evidence], question: str, *, again: bool = False
) -> Decision:
    """Ask a person, and send messages about the question and its answer.

    Raises:
        Rejected: The answer is no, or none came in time.
    """
    notify, endpoint = rollout.project.config.notify, rollout.endpoint
    if again or rollout.share < stage.traffic:
        until = now() + timedelta(seconds=stage.approval_timeout_s) if stage.on_timeout is OnTimeout.ROLLBACK else None
        shown = hashlib.sha256(f"{question}{headlines(evidence)}{rollout.change}".encode()).hexdigest()[:12]
        key = f"{stage.traffic}-{shown}"
        await send_message(notify, run_id(), question_message(endpoint, key, question, evidence, until, rollout.change))
    try:
        async with _reminding(rollout, stage, evidence):
            decision = await ask(rollout, stage, evidence, question=question, again=again)
    except Rejected as rejected:
        if rejected.decision:
            await send_message(notify, run_id(), answer_message(endpoint, rejected.decision))
        raise
    await send_message(notify, run_id(), answer_message(endpoint, decision))
    return decision


@contextlib.asynccontextmanager
async def _reminding(rollout: Rollout, stage: StageConfig, evidence: list[Evidence]) -> AsyncIterator[None]:
    """Remind people while this process waits for an answer; where the run is deployed, the guard does."""
    reminding = None if runtime.deployment.id else asyncio.create_task(remind_in_time(rollout, stage, evidence))
    try:
        yield
    finally:
        if reminding:
            reminding.cancel()
            for failure in await asyncio.gather(reminding, return_exceptions=True):
                if isinstance(failure, Exception):
                    get_run_logger().warning("nobody was reminded of the question: %s", failure)
