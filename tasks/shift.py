"""Shift: give the candidate its stage's share of the traffic."""

from prefect import task

from saferollout.config.rollout import StageConfig
from saferollout.domain.endpoint import Decision
from saferollout.rollout import shift
from saferollout.rollout.rollout import Plan
from tasks.support.access import in_workspace
from tasks.support.policy import STEP


@task(task_run_name="shift {plan.candidate} to {stage.traffic}%", **STEP)
async def shift_traffic(plan: Plan, stage: StageConfig, decision: Decision | None) -> None:
    """Set traffic, share and decision in one change; a share that is past keeps its traffic."""
    await in_workspace(plan, lambda azure: shift.shift_traffic(azure, plan, stage.traffic, decision))
