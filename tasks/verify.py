"""Verify: the traffic is what this rollout set, so before the first stage the candidate has none."""

from prefect import task

from saferollout.domain.fault_points import Step
from saferollout.rollout import verify
from saferollout.rollout.rollout import Rollout
from tasks.support.access import in_workspace
from tasks.support.boundaries import bounded
from tasks.support.names import named
from tasks.support.policy import STEP


@task(task_run_name=named("verify {rollout.candidate} has {rollout.share}%"), **STEP)
@bounded(Step.VERIFY)
async def verify_traffic(rollout: Rollout) -> None:
    """Check that nobody else changed the traffic or the candidate."""
    await in_workspace(rollout, lambda azure: verify.verify_traffic(azure, rollout))
