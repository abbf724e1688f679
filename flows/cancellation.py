"""Cancellation: somebody stopped the run in Prefect, so the endpoint goes back to its baseline."""

from typing import Any

from prefect import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext

from saferollout.config import WorkspaceConfig
from saferollout.project import Project
from saferollout.record import PREFIX
from tasks.rollback import roll_back_own
from tasks.this_run import run_id


async def mark_run(project: Project) -> None:
    """Put what the run works on into its labels: whoever undoes it must not depend on a config that may change."""
    target = project.config.workspace.model_dump() | {"endpoint": project.endpoint}
    async with get_client() as client:
        await client.update_flow_run_labels(run_id(), {PREFIX + name: value for name, value in target.items()})


async def undo_this_run() -> None:
    """Roll back what the current run began before it was suspended, if it did, and as far as its labels tell.

    The labels are those that the run had when its process began: no server is asked, for it may be away.
    """
    context = FlowRunContext.get()
    if context and context.flow_run:
        await undo(None, context.flow_run, context.flow_run.state)


async def undo(flow: Any, flow_run: FlowRun, state: State[Any] | None) -> None:  # noqa: ARG001  # Prefect names the parameters
    """Roll back what a cancelled run began; Prefect calls this in a fresh process once the run's own is gone."""
    labels = {
        name.removeprefix(PREFIX): str(value) for name, value in flow_run.labels.items() if name.startswith(PREFIX)
    }
    if endpoint := labels.pop("endpoint", None):
        await roll_back_own(WorkspaceConfig.model_validate(labels), endpoint, str(flow_run.id))
