"""Cancellation: somebody stopped the run in Prefect, so the endpoint goes back to its baseline."""

from typing import Any

from prefect.client.schemas.objects import FlowRun, State

from saferollout import project
from saferollout.restore import restore_own
from tasks.access import in_workspace


async def undo(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001  # Prefect names the parameters
    """Roll back what a cancelled run began; Prefect calls this in a fresh process once the run's own is gone."""
    found = project.load(flow_run.parameters["config"])
    await in_workspace(
        found.config.workspace,
        lambda azure: restore_own(azure, found.endpoint, lambda owner: owner.flow_run == str(flow_run.id)),
    )
