"""Shift: give the candidate its stage's share of the traffic."""

import asyncio

from prefect import task

from saferollout import planning
from saferollout.config import StageConfig
from saferollout.domain import Decision, Plan
from tasks.access import workspace_of
from tasks.policy import STEP


@task(task_run_name="shift {plan.candidate} to {stage.traffic}%", **STEP)
async def shift_traffic(plan: Plan, stage: StageConfig, decision: Decision | None) -> None:
    """Set traffic, stage and decision in one change, unless the rollout is past this stage already.

    Raises Drifted when somebody else changed the traffic meanwhile.
    """
    workspace = await workspace_of(plan)
    state = await asyncio.to_thread(workspace.existing, plan.endpoint)
    record = planning.own_record(state.tags, plan)
    if record.stage >= stage.traffic:
        return
    approvals = record.approvals | ({stage.traffic: decision} if decision else {})
    await asyncio.to_thread(
        workspace.update_endpoint,
        plan.endpoint,
        traffic=plan.traffic(stage.traffic),
        expected_traffic=record.traffic(),
        tags=lambda tags: planning.advanced(tags, plan, stage=stage.traffic, approvals=approvals),
    )
