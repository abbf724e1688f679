"""Verify: the traffic is what this rollout set, so before the first share the candidate has none."""

from saferollout.azure.workspace import Workspace
from saferollout.domain.endpoint import drift
from saferollout.domain.errors import Drifted
from saferollout.rollout.rollout import Rollout


def verify_traffic(azure: Workspace, rollout: Rollout) -> None:
    """Check that nobody else changed anything.

    Raises:
        Drifted: The traffic is not what this rollout left it at.
        GateFailed: The candidate is gone, broken or another deployment.
        Lost: The rollout is somebody else's by now.
    """
    state = azure.settled(rollout.endpoint)
    rollout.own_candidate(state)
    if state.traffic != rollout.traffic(rollout.share):
        raise Drifted(drift(rollout.endpoint, state.traffic, rollout.traffic(rollout.share)))
