"""Mirror: copies of users' requests go to the candidate, whose answers nobody sees."""

from saferollout.azure.workspace import Workspace
from saferollout.domain.endpoint import describe, drift
from saferollout.domain.errors import Drifted, Refused
from saferollout.rollout.rollout import Plan


def mirror_traffic(azure: Workspace, plan: Plan, share: int) -> None:
    """Mirror `share` percent of the users' requests to the candidate; 0 ends it.

    What is mirrored for somebody else is never touched.

    Raises:
        Drifted: Somebody else changed the traffic meanwhile.
        GateFailed: The candidate is gone, broken or another deployment.
        Lost: The rollout is somebody else's by now.
        Refused: The endpoint mirrors to another deployment.
    """
    state = azure.settled(plan.endpoint, plan.candidate)
    record = plan.own_record(state.tags)
    if others := state.mirror_without(plan.candidate):
        msg = f"the endpoint mirrors {describe(others)}, and can mirror to one deployment only; stop that first"
        raise Refused(msg)
    if share:
        plan.own_candidate(state)
        if state.traffic != record.traffic():
            raise Drifted(drift(plan.endpoint, state.traffic, record.traffic()))
    azure.update_endpoint(plan.endpoint, mirror={plan.candidate: share} if share else {}, tags=plan.advanced)
