"""Cancellation: somebody stopped the run in Prefect, so the endpoint goes back to its baseline."""

import asyncio
import os
import signal
import threading
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.exceptions import TerminationSignal

from saferollout.report.message import cancellation_message
from saferollout.rollout.record import Record
from tasks.rollback import find_own, roll_back_own
from tasks.support.artifacts import publish
from tasks.support.messages import send_message
from tasks.support.results import kept_by
from tasks.support.this_run import marks, target_of

TOLD_TO_END = (
    "Execution was aborted by a termination signal",
    "Execution was aborted by an interrupt signal",
    "Execution was cancelled by the runtime environment",
)
"""How Prefect's engine begins the message of a crash where somebody asked the process to end."""

AGAIN_S = 0.2


def heed_sigterm() -> None:
    """Let SIGTERM end the run wherever it arrives.

    Prefect's handler raises in whatever runs at that moment. asyncio takes what is raised in a callback, such as one
    that writes to a socket, for that callback's failure, reports it to this handler, and goes on.
    """
    asyncio.get_running_loop().set_exception_handler(_send_again)


def _send_again(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    if not isinstance(context.get("exception"), TerminationSignal):
        loop.default_exception_handler(context)
        return
    again = threading.Timer(AGAIN_S, os.kill, (os.getpid(), signal.SIGTERM))
    again.daemon = True
    again.start()


async def roll_back_terminated(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """Roll back what a deployed run began whose process was asked to end; not where the process was lost.

    What a lost process began waits for a retry of the run. So it does where Rich ended a process that had just started,
    for its worker had died; later, `tasks/support/broken_pipe.py` prevents that. `saferollout run` rolls its own back.
    """
    if not flow_run.deployment_id or not (state.message or "").startswith(TOLD_TO_END):
        return
    if marks(flow_run):
        await _roll_back(flow_run)  # Prefect's server may have ended first
    else:
        await roll_back_cancelled(flow, flow_run, state)


async def roll_back_this_run() -> None:
    """Roll back what the current run began before it was suspended, if it did, and as far as its labels show.

    No server is asked, for it may be away.
    """
    context = FlowRunContext.get()
    if context and context.flow_run:
        await _roll_back(context.flow_run)


async def roll_back_cancelled(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001  # Prefect names the parameters
    """Roll back what a cancelled run began; Prefect calls this in a fresh process once the run's own is gone."""
    if (record := await roll_back_run(flow_run.id)) is None:
        return
    (kept,) = await publish(kept_by(flow_run.id))
    if kept:
        await send_message(
            kept.project.config.notify, flow_run.id, cancellation_message(kept.project.endpoint, record.candidate)
        )


async def roll_back_run(flow_run: UUID) -> Record | None:
    """Roll back what a run began, if it did, and as far as its labels show; the record that it had, if any."""
    async with get_client() as client:
        found = await client.read_flow_run(flow_run)
    return await _roll_back(found)  # a hook's copy of the run may be older than its labels


async def _roll_back(flow_run: FlowRun) -> Record | None:
    if (target := target_of(flow_run)) is None:
        return None
    workspace, endpoint = target
    names = [endpoint] if endpoint else await find_own(workspace, str(flow_run.id))
    done = [await roll_back_own(workspace, name, str(flow_run.id)) for name in names]
    return next((record for record in done if record), None)
