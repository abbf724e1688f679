"""Scale: give a deployment the instances that it needs during the rollout; never take any away."""

from saferollout.azure.workspace import Workspace
from saferollout.domain.errors import GateFailed
from saferollout.domain.words import plural
from saferollout.rollout import drift
from saferollout.rollout.rollout import Rollout


def scale_live(azure: Workspace, rollout: Rollout) -> None:
    """Scale the live deployment up, unless it is that large already.

    Raises:
        Drifted: Somebody else changed something meanwhile.
        GateFailed: The candidate is broken.
        Lost: The rollout is somebody else's by now.
    """
    drift.check(azure, azure.settled(rollout.endpoint, rollout.live), rollout, is_created=False)
    azure.scale_up(rollout.endpoint, rollout.live, rollout.live_instance_count)


def scale_candidate(azure: Workspace, rollout: Rollout, share: int) -> None:
    """Scale the candidate up to what `share` percent of the traffic needs.

    Raises:
        Drifted: Somebody else changed something meanwhile.
        GateFailed: The candidate is broken, or something keeps it smaller.
        Lost: The rollout is somebody else's by now.
    """
    state = drift.require_unchanged(azure, rollout)
    needed = rollout.candidate_instance_count(share, state.deployments[rollout.live].instance_count)
    azure.scale_up(rollout.endpoint, rollout.candidate, needed)
    state = drift.require_unchanged(azure, rollout, is_settled=False)
    if (found := state.deployments[rollout.candidate].instance_count) < needed:
        msg = (
            f"{rollout.candidate} has {plural(found, 'instance')}, not the {needed} that {share}% needs: "
            "something else scales it; raise its limit, or set candidate.instance_count"
        )
        raise GateFailed(msg)
