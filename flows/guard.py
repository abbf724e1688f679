"""Guard: finish or undo what rollouts have left, and judge their candidates while people think."""

from uuid import UUID

from prefect import flow, get_client

from saferollout.config.names import check_endpoint
from saferollout.config.project import resolve_workspace
from saferollout.config.rollout import WorkspaceConfig
from tasks.guard import look_after, rollouts_in
from tasks.support.crowd import is_crowded
from tasks.support.this_run import target_of
from tasks.support.turns import look_after_all


@flow(flow_run_name="guard", persist_result=True, result_serializer="json", timeout_seconds=3600)
async def guard(
    flow_run: UUID | None = None,
    endpoints: list[str] | None = None,
    workspace: WorkspaceConfig | None = None,
) -> dict[str, str]:
    """Look after every endpoint that carries a rollout's record, and say in a line for each what was done.

    One endpoint in trouble does not keep the others from their turn; the first failure is raised at the end. Nothing is
    done while several other guards, which wait for Azure, have just begun.

    Args:
        flow_run: The id of a rollout's run that has ended: only its endpoint is looked after.
        endpoints: The endpoints' names; by default all that carry a record.
        workspace: Where the endpoints are; by default what the environment names.
    """
    for name in endpoints or ():
        check_endpoint("guard", name)
    if await is_crowded():
        return {}
    if flow_run is not None:
        async with get_client() as client:
            target = target_of(await client.read_flow_run(flow_run))
        if target is None:
            return {}
        found, endpoint = target
        endpoints = [endpoint] if endpoint else None
    else:
        found = resolve_workspace(workspace)
    names = endpoints or await rollouts_in(found)
    return await look_after_all(names, lambda name: look_after(found, name))
