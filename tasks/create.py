"""Create: bring the candidate up, without traffic."""

from prefect import task

from saferollout.domain.fault_points import Step
from saferollout.rollout import create
from saferollout.rollout.rollout import Rollout
from tasks.support.access import in_workspace
from tasks.support.boundaries import bounded
from tasks.support.names import named
from tasks.support.policy import STEP


@task(task_run_name=named("create {rollout.candidate}"), **STEP)
@bounded(Step.CREATE)
async def create_candidate(rollout: Rollout) -> None:
    """Create the candidate unless it is there."""
    await in_workspace(rollout, lambda azure: create.create_candidate(azure, rollout))
