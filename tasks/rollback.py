"""Rollback: the endpoint as it was before the rollout, from the record in its tags."""

import asyncio

from prefect import task

from saferollout.azure import Workspace
from saferollout.config import WorkspaceConfig
from saferollout.record import Record
from saferollout.restore import restore
from tasks.policy import STEP


@task(task_run_name="roll {endpoint} back", **STEP)
async def roll_back(
    workspace: WorkspaceConfig, endpoint: str, rollout: str | None = None, force: bool = False
) -> Record:
    """Undo the endpoint's rollout; see :func:`saferollout.restore.restore`."""
    azure = await asyncio.to_thread(Workspace, workspace)
    return await asyncio.to_thread(restore, azure, endpoint, rollout=rollout, force=force)
