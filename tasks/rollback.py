"""Rollback: the endpoint as it was before the rollout, from the record in its tags."""

from prefect import task
from prefect.logging import get_run_logger

from saferollout.config.project import Project
from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.errors import Lost, SaferolloutError
from saferollout.domain.fault_points import Step
from saferollout.rollout import rollback
from saferollout.rollout.drain import BY_TIME
from saferollout.rollout.hold import Hold, hold_for
from saferollout.rollout.record import Record
from saferollout.rollout.rollout import Rollout
from tasks.support.access import in_workspace
from tasks.support.boundaries import bounded
from tasks.support.drain import Drain
from tasks.support.policy import ROLLBACK


@task(task_run_name="roll {endpoint} back", **ROLLBACK)
async def roll_back(workspace: WorkspaceConfig, endpoint: str, force: bool = False) -> Record:
    """Roll back the endpoint's rollout; see `saferollout.rollout.rollback.roll_back`."""
    return await in_workspace(workspace, lambda azure: rollback.roll_back(azure, endpoint, force=force))


async def find_own(workspace: WorkspaceConfig, flow_run: str) -> list[str]:
    """The endpoints with an unfinished rollout of the flow run, where its labels no longer name the one."""
    return await in_workspace(workspace, lambda azure: rollback.find_own(azure, flow_run))


@bounded(Step.ROLL_BACK)
async def roll_back_own(
    workspace: WorkspaceConfig,
    endpoint: str,
    flow_run: str,
    project: Project | None = None,
    hold: Hold | None = None,
    *,
    force: bool = False,
    forgets: bool = True,
) -> Record | None:
    """Roll back what a flow run began on the endpoint; None if there is nothing of it, or nothing left.

    With the `project` and its requests, the candidate stays until users are seen to be off it. `hold` is put on the
    endpoint; `force` overwrites what somebody else changed in the traffic; where it is not to be forgotten, the record
    stays until the report is written. It is not a task: the way back must not depend on
    Prefect.
    """
    drain = Drain(project) if project else BY_TIME
    rolled_back = await in_workspace(
        workspace,
        lambda azure: rollback.roll_back_own(
            azure, endpoint, lambda owner: owner.flow_run == flow_run, drain, hold, force=force, forgets=forgets
        ),
    )
    if isinstance(drain, Drain):
        drain.log()
    return rolled_back


async def put_users_back(rollout: Rollout, failure: Exception) -> bool:
    """Give the users the live deployment back at once, and return whether that worked; the rollback does the rest.

    The revision is held from then on, if the `failure` is harm.

    Raises:
        Lost: The rollout is somebody else's by now.
    """
    hold = hold_for(failure, rollout.revision, rollout.project.label)
    try:
        is_back = await in_workspace(rollout, lambda azure: rollback.put_traffic_back(azure, rollout, hold))
    except Lost:
        raise
    except SaferolloutError as error:
        get_run_logger().warning("the traffic is not back yet: %s", error)
        return False
    if is_back:
        get_run_logger().warning("%s has all traffic of %s again", rollout.live, rollout.endpoint)
    else:
        get_run_logger().warning(
            "%s has fewer instances than before: it gets those back first, then all traffic", rollout.live
        )
    return is_back
