"""Rollback: the endpoint as it was before the rollout, from the record in its tags."""

from prefect import task

from saferollout.config import WorkspaceConfig
from saferollout.record import Record
from saferollout.restore import restore
from tasks.access import in_workspace
from tasks.policy import STEP


@task(task_run_name="roll {endpoint} back", **STEP)
async def roll_back(
    workspace: WorkspaceConfig, endpoint: str, rollout: str | None = None, force: bool = False
) -> Record:
    """Undo the endpoint's rollout; see :func:`saferollout.restore.restore`."""
    return await in_workspace(workspace, lambda azure: restore(azure, endpoint, rollout=rollout, force=force))
