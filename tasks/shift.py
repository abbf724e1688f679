"""Shift: give the candidate its stage's share of the traffic."""

from prefect import task

from saferollout.azure import Workspace
from saferollout.config import StageConfig
from saferollout.domain import Decision
from saferollout.errors import Drifted
from saferollout.plan import Plan
from saferollout.record import fitted
from tasks.access import in_workspace
from tasks.policy import STEP


@task(task_run_name="shift {plan.candidate} to {stage.traffic}%", **STEP)
async def shift_traffic(plan: Plan, stage: StageConfig, decision: Decision | None) -> None:
    """Set traffic, stage and decision in one change; a stage that is past keeps its traffic.

    Raises Drifted when somebody else changed the traffic meanwhile, or the stage on record.
    """
    await in_workspace(plan, lambda azure: _shift(azure, plan, stage.traffic, decision))


def _shift(azure: Workspace, plan: Plan, share: int, decision: Decision | None) -> None:
    state = azure.settled(plan.endpoint, plan.candidate)
    record = plan.own_record(state.tags)
    if record.stage > max(plan.stage, share):
        msg = (
            f"the tags of {plan.endpoint} say that the rollout has reached {record.stage}%: somebody else changed them"
        )
        raise Drifted(msg)
    plan.own_candidate(state)
    reached = max(record.stage, share)
    approvals = record.approvals | ({share: fitted(decision)} if decision else {})
    azure.update_endpoint(
        plan.endpoint,
        traffic=plan.traffic(reached),
        expected_traffic=record.traffic(),
        mirror=state.mirror_without(plan.candidate),
        tags=lambda tags: plan.advanced(tags, stage=reached, approvals=approvals),
    )
