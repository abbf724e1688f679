"""Retire: delete the old deployment when its keep window is over; made to be run on a schedule."""

from prefect import flow

from saferollout.config import WorkspaceConfig
from saferollout.project import resolve_workspace
from tasks.remove import retire_kept


@flow(flow_run_name="retire {endpoint}", persist_result=True, result_serializer="json")
async def retire(endpoint: str, workspace: WorkspaceConfig | None = None, now: bool = False) -> str:
    """Delete what a finished rollout kept, and say what was done.

    Args:
        endpoint: The endpoint's name.
        workspace: Where it is; by default what the environment names.
        now: Do not wait for the end of the keep window.
    """
    return await retire_kept(resolve_workspace(workspace), endpoint, at_once=now)
