"""Scale: give the live deployment the instances that it shall have during the rollout."""

import asyncio

from prefect import task

from saferollout.domain import Plan
from tasks.access import workspace_of
from tasks.policy import STEP


@task(task_run_name="scale {plan.live} to {plan.live_instance_count}", **STEP)
async def scale_live(plan: Plan) -> None:
    """Scale the live deployment, unless it is that large already."""
    workspace = await workspace_of(plan)
    await asyncio.to_thread(workspace.scale, plan.endpoint, plan.live, plan.live_instance_count)
