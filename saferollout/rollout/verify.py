"""Verify: the traffic is what this rollout set, so before the first share the candidate has none."""

from saferollout.azure.workspace import Workspace
from saferollout.domain.endpoint import drift
from saferollout.domain.errors import Drifted
from saferollout.rollout.rollout import Plan


def verify_traffic(azure: Workspace, plan: Plan) -> None:
    """Check that nobody else changed anything.

    Raises:
        Drifted: The traffic is not what this rollout left it at.
        GateFailed: The candidate is gone, broken or another deployment.
        Lost: The rollout is somebody else's by now.
    """
    state = azure.existing(plan.endpoint)
    plan.own_candidate(state)
    if state.traffic != plan.traffic(plan.stage):
        raise Drifted(drift(plan.endpoint, state.traffic, plan.traffic(plan.stage)))
