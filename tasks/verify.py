"""Verify: the traffic is what this rollout set, so before the first stage the candidate has none."""

from prefect import task

from saferollout.domain.endpoint import drift
from saferollout.domain.errors import Drifted
from saferollout.rollout.rollout import Plan
from tasks.support.access import in_workspace
from tasks.support.policy import STEP


@task(task_run_name="verify {plan.candidate} has {plan.stage}%", **STEP)
async def verify_traffic(plan: Plan) -> None:
    """Raise Drifted if the traffic is not what this rollout left it at, GateFailed if the candidate is another one."""
    state = await in_workspace(plan, lambda azure: azure.existing(plan.endpoint))
    plan.own_candidate(state)
    if state.traffic != plan.traffic(plan.stage):
        raise Drifted(drift(plan.endpoint, state.traffic, plan.traffic(plan.stage)))
