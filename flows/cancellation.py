"""Cancellation: somebody stopped the run in Prefect, so the endpoint goes back to its baseline."""

from typing import Any

from prefect import get_client
from prefect.client.schemas.objects import FlowRun, State

from saferollout.config import WorkspaceConfig
from saferollout.record import PREFIX
from tasks.rollback import roll_back_own
from tasks.this_run import run_id


async def undo_this_run() -> None:
    """Roll back what the current run began before it was suspended, if it did, and as far as its labels tell."""
    async with get_client() as client:
        flow_run = await client.read_flow_run(run_id())
    await undo(None, flow_run, flow_run.state)


async def undo(flow: Any, flow_run: FlowRun, state: State[Any] | None) -> None:  # noqa: ARG001  # Prefect names the parameters
    """Roll back what a cancelled run began; Prefect calls this in a fresh process once the run's own is gone."""
    labels = {
        name.removeprefix(PREFIX): str(value) for name, value in flow_run.labels.items() if name.startswith(PREFIX)
    }
    if endpoint := labels.pop("endpoint", None):
        await roll_back_own(WorkspaceConfig.model_validate(labels), endpoint, str(flow_run.id))
