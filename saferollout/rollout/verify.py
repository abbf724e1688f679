"""Verify: the endpoint is as this rollout left it, so before the first share the candidate has no traffic."""

from saferollout.azure.workspace import Workspace
from saferollout.rollout import drift
from saferollout.rollout.rollout import Rollout


def verify_traffic(azure: Workspace, rollout: Rollout) -> None:
    """Check that nobody else changed anything.

    Raises:
        Drifted: Somebody else did.
        GateFailed: The candidate is broken.
        Lost: The rollout is somebody else's by now.
    """
    state = azure.settled(rollout.endpoint, rollout.live, rollout.candidate)
    drift.check(azure, state, rollout, at_most=rollout.share, is_past=True)
