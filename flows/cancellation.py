"""Cancellation: somebody stopped the run in Prefect, so the endpoint goes back to its baseline."""

from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext

from saferollout.config import WorkspaceConfig
from saferollout.record import PREFIX
from tasks.rollback import roll_back_own

TOLD_TO_END = "Execution was "
"""How Prefect's engine begins the message of a crash that the process itself reports: a signal, or its loop's end."""


async def undo_terminated(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """Roll back what a deployed run began whose process was told to end; not where the process was lost.

    What a lost process began waits for a retry of the run. A run in `saferollout run` is undone by the command itself.
    """
    if flow_run.deployment_id and (state.message or "").startswith(TOLD_TO_END):
        await undo(flow, flow_run, state)


async def undo_this_run() -> None:
    """Roll back what the current run began before it was suspended, if it did, and as far as its labels tell.

    The labels are those that the run had when its process began: no server is asked, for it may be away.
    """
    context = FlowRunContext.get()
    if context and context.flow_run:
        await _undo(context.flow_run)


async def undo(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001  # Prefect names the parameters
    """Roll back what a cancelled run began; Prefect calls this in a fresh process once the run's own is gone."""
    await undo_run(flow_run.id)


async def undo_run(flow_run: UUID) -> None:
    """Roll back what a run began, if it did, and as far as its labels tell."""
    async with get_client() as client:
        await _undo(await client.read_flow_run(flow_run))  # a hook's copy of the run may be older than its labels


async def _undo(flow_run: FlowRun) -> None:
    marked = flow_run.labels.items()
    labels = {name.removeprefix(PREFIX): str(value) for name, value in marked if name.startswith(PREFIX)}
    if endpoint := labels.pop("endpoint", None):
        await roll_back_own(WorkspaceConfig.model_validate(labels), endpoint, str(flow_run.id))
