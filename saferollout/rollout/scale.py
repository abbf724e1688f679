"""Scale: give a deployment the instances that it needs during the rollout; never take any away."""

from saferollout.azure.workspace import Workspace
from saferollout.domain.errors import GateFailed
from saferollout.domain.words import plural
from saferollout.rollout.rollout import Rollout


def scale_live(azure: Workspace, rollout: Rollout) -> None:
    """Scale the live deployment up, unless it is that large already. Raises Lost as `Rollout.own_record`."""
    rollout.own_record(azure.get_endpoint(rollout.endpoint).tags)
    azure.scale_up(rollout.endpoint, rollout.live, rollout.live_instance_count)


def scale_candidate(azure: Workspace, rollout: Rollout, share: int) -> None:
    """Scale the candidate up to what `share` percent of the traffic needs.

    Raises:
        GateFailed: The candidate or the live deployment is gone or broken, or something keeps the candidate smaller.
        Lost: The rollout is somebody else's by now.
    """
    state = azure.settled(rollout.endpoint, rollout.live, rollout.candidate)
    rollout.own_candidate(state)
    needed = rollout.candidate_instance_count(share, rollout.live_in(state).instance_count)
    azure.scale_up(rollout.endpoint, rollout.candidate, needed)
    found = rollout.own_candidate(azure.get_endpoint(rollout.endpoint)).instance_count
    if found < needed:
        msg = (
            f"{rollout.candidate} has {plural(found, 'instance')}, not the {needed} that {share}% needs: "
            "something else scales it; raise its limit, or set candidate.instance_count"
        )
        raise GateFailed(msg)
