"""Rollback: the endpoint as it was before the rollout, from the record in its tags."""

from prefect import task
from prefect.logging import get_run_logger

from saferollout.config import WorkspaceConfig
from saferollout.errors import Lost, SaferolloutError
from saferollout.plan import Plan
from saferollout.record import Record
from saferollout.restore import put_traffic_back, restore, restore_own
from tasks.access import in_workspace
from tasks.policy import UNDO


@task(task_run_name="roll {endpoint} back", **UNDO)
async def roll_back(workspace: WorkspaceConfig, endpoint: str, force: bool = False) -> Record:
    """Undo the endpoint's rollout; see :func:`saferollout.restore.restore`."""
    return await in_workspace(workspace, lambda azure: restore(azure, endpoint, force=force))


async def roll_back_own(workspace: WorkspaceConfig, endpoint: str, flow_run: str) -> Record | None:
    """Undo what a flow run began on the endpoint; None if there is nothing of it, or nothing left.

    No task: the way back must not depend on Prefect.
    """
    return await in_workspace(
        workspace, lambda azure: restore_own(azure, endpoint, lambda owner: owner.flow_run == flow_run)
    )


async def put_users_back(plan: Plan) -> bool:
    """Give the users the live deployment back at once, and say whether that worked; the rollback does all the rest."""
    try:
        is_back = await in_workspace(plan, lambda azure: put_traffic_back(azure, plan))
    except Lost:
        raise
    except SaferolloutError as error:
        get_run_logger().warning("the traffic is not back yet: %s", error)
        return False
    if is_back:
        get_run_logger().warning("%s has all traffic of %s again", plan.live, plan.endpoint)
    else:
        get_run_logger().warning("%s has fewer instances than before: it gets those first, then all traffic", plan.live)
    return is_back
