"""Scale: give a deployment the instances that it needs during the rollout; never take any away."""

from prefect import task

from saferollout.config.rollout import StageConfig
from saferollout.rollout import scale
from saferollout.rollout.rollout import Plan
from tasks.support.access import in_workspace
from tasks.support.policy import STEP


@task(task_run_name="scale {plan.live} to {plan.live_instance_count}", **STEP)
async def scale_live(plan: Plan) -> None:
    """Scale the live deployment up, unless it is that large already."""
    await in_workspace(plan, lambda azure: scale.scale_live(azure, plan))


@task(task_run_name="scale {plan.candidate} for {stage.traffic}%", **STEP)
async def scale_candidate(plan: Plan, stage: StageConfig) -> None:
    """Scale the candidate up to what its next share needs."""
    await in_workspace(plan, lambda azure: scale.scale_candidate(azure, plan, stage.traffic))
