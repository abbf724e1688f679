"""Scale: give a deployment the instances that it needs during the rollout; never take any away."""

from prefect import task

from saferollout.config.rollout import StageConfig
from saferollout.domain.fault_points import Step
from saferollout.rollout import scale
from saferollout.rollout.rollout import Rollout
from tasks.support.access import in_workspace
from tasks.support.boundaries import bounded
from tasks.support.names import named
from tasks.support.policy import STEP


@task(task_run_name=named("scale {rollout.live} to {rollout.live_instance_count}"), **STEP)
@bounded(Step.SCALE_LIVE)
async def scale_live(rollout: Rollout) -> None:
    """Scale the live deployment up, unless it is that large already."""
    await in_workspace(rollout, lambda azure: scale.scale_live(azure, rollout))


@task(task_run_name=named("scale {rollout.candidate} for {stage.traffic}%"), **STEP)
@bounded(Step.SCALE_CANDIDATE)
async def scale_candidate(rollout: Rollout, stage: StageConfig) -> None:
    """Scale the candidate up to what its next share needs."""
    await in_workspace(rollout, lambda azure: scale.scale_candidate(azure, rollout, stage.traffic))
