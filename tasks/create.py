"""Create: bring the candidate up, without traffic."""

from prefect import task

from saferollout.rollout import create
from saferollout.rollout.rollout import Plan
from tasks.support.access import in_workspace
from tasks.support.policy import STEP


@task(task_run_name="create {plan.candidate}", **STEP)
async def create_candidate(plan: Plan) -> None:
    """Create the candidate unless it is there."""
    await in_workspace(plan, lambda azure: create.create_candidate(azure, plan))
