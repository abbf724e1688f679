"""Scale: give a deployment the instances that it needs during the rollout; never take any away."""

from prefect import task

from saferollout.azure import Workspace
from saferollout.config import StageConfig
from saferollout.errors import GateFailed
from saferollout.plan import Plan
from tasks.access import in_workspace
from tasks.policy import STEP


@task(task_run_name="scale {plan.live} to {plan.live_instance_count}", **STEP)
async def scale_live(plan: Plan) -> None:
    """Scale the live deployment up, unless it is that large already."""
    await in_workspace(plan, lambda azure: _scale_live(azure, plan))


def _scale_live(azure: Workspace, plan: Plan) -> None:
    plan.own_record(azure.existing(plan.endpoint).tags)
    azure.scale_up(plan.endpoint, plan.live, plan.live_instance_count)


@task(task_run_name="scale {plan.candidate} for {stage.traffic}%", **STEP)
async def scale_candidate(plan: Plan, stage: StageConfig) -> None:
    """Scale the candidate up to what its next share needs; GateFailed if something keeps it smaller."""
    await in_workspace(plan, lambda azure: _scale_candidate(azure, plan, stage.traffic))


def _scale_candidate(azure: Workspace, plan: Plan, share: int) -> None:
    state = azure.settled(plan.endpoint, plan.live, plan.candidate)
    plan.own_candidate(state)
    needed = plan.candidate_instance_count(share, state.deployments[plan.live].instance_count)
    azure.scale_up(plan.endpoint, plan.candidate, needed)
    found = plan.own_candidate(azure.existing(plan.endpoint)).instance_count
    if found < needed:
        msg = (
            f"{plan.candidate} has {found} instances, not the {needed} that {share}% needs: something else scales it; "
            "raise its limit, or set candidate.instance_count"
        )
        raise GateFailed(msg)
