"""Teardown: delete an endpoint with all its deployments, after a confirmation."""

from prefect import flow

from saferollout.config.names import check_confirmed, check_endpoint
from saferollout.config.project import resolve_workspace
from saferollout.config.rollout import WorkspaceConfig
from tasks.retire import delete_endpoint


@flow(flow_run_name="teardown {endpoint}", persist_result=True, result_serializer="json")
async def teardown(endpoint: str, confirm: str, workspace: WorkspaceConfig | None = None) -> str:
    """Delete the endpoint: its users no longer get answers.

    Args:
        endpoint: The endpoint's name.
        confirm: The endpoint's name once more.
        workspace: Where it is; by default what the environment names.
    """
    check_endpoint("teardown", endpoint)
    check_confirmed(endpoint, confirm)
    await delete_endpoint(resolve_workspace(workspace), endpoint)
    return f"{endpoint} deleted"
