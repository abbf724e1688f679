"""Rollback: back to the baseline, from the endpoint's tags alone."""

from prefect import flow

from saferollout.config.names import check_endpoint
from saferollout.config.project import resolve_workspace
from saferollout.config.rollout import WorkspaceConfig
from saferollout.rollout.record import Record
from tasks.rollback import roll_back


@flow(flow_run_name="rollback {endpoint}", persist_result=True, result_serializer="json")
async def rollback(endpoint: str, workspace: WorkspaceConfig | None = None, force: bool = False) -> Record:
    """Roll back an endpoint's rollout: traffic, instances, candidate.

    Args:
        endpoint: The endpoint's name.
        workspace: Where it is; by default what the environment names.
        force: Also when somebody else changed the traffic meanwhile.
    """
    check_endpoint("rollback", endpoint)
    return await roll_back(resolve_workspace(workspace), endpoint, force=force)
