"""Shift: give the candidate its stage's share of the traffic."""

from prefect import task

from saferollout.config.rollout import StageConfig
from saferollout.domain.endpoint import Decision
from saferollout.rollout import shift
from saferollout.rollout.rollout import Rollout
from tasks.support.access import in_workspace
from tasks.support.names import named
from tasks.support.policy import STEP


@task(task_run_name=named("shift {rollout.candidate} to {stage.traffic}%"), **STEP)
async def shift_traffic(rollout: Rollout, stage: StageConfig, decision: Decision | None) -> None:
    """Set traffic, share and decision in one change; a share that is past keeps its traffic."""
    await in_workspace(rollout, lambda azure: shift.shift_traffic(azure, rollout, stage.traffic, decision))
