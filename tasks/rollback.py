"""Rollback: the endpoint as it was before the rollout, from the record in its tags."""

from prefect import task

from saferollout.config import WorkspaceConfig
from saferollout.record import Record
from saferollout.restore import restore, restore_own
from tasks.access import in_workspace
from tasks.policy import UNDO


@task(task_run_name="roll {endpoint} back", **UNDO)
async def roll_back(workspace: WorkspaceConfig, endpoint: str, force: bool = False) -> Record:
    """Undo the endpoint's rollout; see :func:`saferollout.restore.restore`."""
    return await in_workspace(workspace, lambda azure: restore(azure, endpoint, force=force))


@task(task_run_name="roll {endpoint} back", **UNDO)
async def roll_back_own(workspace: WorkspaceConfig, endpoint: str, flow_run: str) -> Record | None:
    """Undo what a flow run began on the endpoint; None if there is nothing of it, or nothing any more."""
    return await in_workspace(
        workspace, lambda azure: restore_own(azure, endpoint, lambda owner: owner.flow_run == flow_run)
    )
