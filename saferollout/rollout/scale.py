"""Scale: give a deployment the instances that it needs during the rollout; never take any away."""

from saferollout.azure.workspace import Workspace
from saferollout.domain.errors import GateFailed
from saferollout.rollout.rollout import Plan


def scale_live(azure: Workspace, plan: Plan) -> None:
    """Scale the live deployment up, unless it is that large already. Raises Lost as `Plan.own_record`."""
    plan.own_record(azure.existing(plan.endpoint).tags)
    azure.scale_up(plan.endpoint, plan.live, plan.live_instance_count)


def scale_candidate(azure: Workspace, plan: Plan, share: int) -> None:
    """Scale the candidate up to what `share` percent of the traffic needs; GateFailed if something keeps it smaller."""
    state = azure.settled(plan.endpoint, plan.live, plan.candidate)
    plan.own_candidate(state)
    if (live := state.deployments.get(plan.live)) is None:
        msg = f"deployment {plan.live} is gone: somebody else deleted it"
        raise GateFailed(msg)
    needed = plan.candidate_instance_count(share, live.instance_count)
    azure.scale_up(plan.endpoint, plan.candidate, needed)
    found = plan.own_candidate(azure.existing(plan.endpoint)).instance_count
    if found < needed:
        msg = (
            f"{plan.candidate} has {found} instances, not the {needed} that {share}% needs: something else scales it; "
            "raise its limit, or set candidate.instance_count"
        )
        raise GateFailed(msg)
