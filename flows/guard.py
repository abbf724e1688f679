"""Guard: finish or roll back what rollouts have left, and judge their candidates while people think."""

import asyncio
from uuid import UUID

from prefect import flow, get_client

from saferollout.config.names import check_endpoint
from saferollout.config.project import resolve_workspace
from saferollout.config.rollout import WorkspaceConfig
from tasks.guard import look_after, rollouts_in
from tasks.lost_requests import recover_events, recover_unbegun
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

    A run that was lost before it had begun a rollout begins again, and one that Prefect failed to start for an event is
    started. One endpoint in trouble does not keep the others from their turn; the first failure is raised at the end.
    Nothing is done while several other guards, which wait for Azure, have just begun.

    Args:
        flow_run: The id of a rollout's run that has ended: only it and its endpoint are looked after.
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
            return await recover_unbegun(flow_run) | await recover_events()
        found, endpoint = target
        names = [endpoint] if endpoint else await rollouts_in(found)
    else:
        found = resolve_workspace(workspace)
        names = endpoints or await rollouts_in(found)

    looks = look_after_all(names, lambda name: look_after(found, name, is_listed=not endpoints))
    if endpoints:
        return await looks
    # none of them waits for another, or is kept from its turn
    done = await asyncio.gather(looks, recover_unbegun(flow_run), recover_events(), return_exceptions=True)
    for each in done:
        if isinstance(each, BaseException):
            raise each
    return {name: line for each in done if isinstance(each, dict) for name, line in each.items()}
