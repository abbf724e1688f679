"""Scale: give the live deployment the instances that it shall have during the rollout."""

from prefect import task

from saferollout.azure import Workspace
from saferollout.plan import Plan
from tasks.access import in_workspace
from tasks.policy import STEP


@task(task_run_name="scale {plan.live} to {plan.live_instance_count}", **STEP)
async def scale_live(plan: Plan) -> None:
    """Scale the live deployment, unless it is that large already."""
    await in_workspace(plan, lambda azure: _scale(azure, plan))


def _scale(azure: Workspace, plan: Plan) -> None:
    plan.own_record(azure.existing(plan.endpoint).tags)
    azure.scale(plan.endpoint, plan.live, plan.live_instance_count)
