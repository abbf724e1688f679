"""Mirror: copies of users' requests go to the candidate, whose answers nobody sees."""

from saferollout.azure.workspace import Workspace
from saferollout.domain.endpoint import describe
from saferollout.domain.errors import Refused
from saferollout.rollout import drift
from saferollout.rollout.rollout import Rollout


def mirror_traffic(azure: Workspace, rollout: Rollout, share: int) -> None:
    """Mirror `share` percent of the users' requests to the candidate; 0 ends it.

    What is mirrored for somebody else is never touched.

    Raises:
        Drifted: Somebody else changed something meanwhile.
        GateFailed: The candidate is broken.
        Lost: The rollout is somebody else's by now.
        Refused: The endpoint mirrors to another deployment.
    """
    state = azure.settled(rollout.endpoint, rollout.live, rollout.candidate)
    record = drift.check(azure, state, rollout)
    if others := state.mirror_without(rollout.candidate):
        msg = f"the endpoint mirrors {describe(others)}, and can mirror to one deployment only; stop that first"
        raise Refused(msg)
    azure.update_endpoint(
        rollout.endpoint,
        check=drift.expecting(record.traffic()),
        mirror={rollout.candidate: share} if share else {},
        tags=rollout.advanced,
    )
