"""Retire: delete old deployments when their keep window is over; made to be run on a schedule."""

from prefect import flow

from saferollout.config.names import check_endpoint
from saferollout.config.project import resolve_workspace
from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.errors import SaferolloutError
from tasks.retire import all_endpoints, retire_kept


@flow(flow_run_name="retire old deployments", persist_result=True, result_serializer="json")
async def retire(endpoint: str | None = None, workspace: WorkspaceConfig | None = None, now: bool = False) -> str:
    """Delete what finished rollouts kept, and say in a line for each endpoint what was done.

    One endpoint in trouble does not keep the others from their turn; the first failure is raised at the end.

    Args:
        endpoint: The endpoint's name; by default every one in the workspace.
        workspace: Where it is; by default what the environment names.
        now: Do not wait for the end of the keep window.
    """
    if endpoint is not None:
        check_endpoint("retire", endpoint)
    found = resolve_workspace(workspace)
    done: list[str] = []
    failures: list[SaferolloutError] = []
    for name in [endpoint] if endpoint else await all_endpoints(found):
        try:
            done.append(await retire_kept(found, name, at_once=now))
        except SaferolloutError as failure:
            failures.append(failure)
    if failures:
        raise failures[0]
    return "\n".join(done)
