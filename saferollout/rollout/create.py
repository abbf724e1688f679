"""Create: bring the candidate up, without traffic."""

from saferollout.azure.workspace import Workspace
from saferollout.domain.errors import GateFailed
from saferollout.rollout.rollout import TAG_ROLLOUT, Rollout


def create_candidate(azure: Workspace, rollout: Rollout) -> None:
    """Create the candidate unless it is there.

    It gets no fewer instances than the live deployment had, since it is to take over, unless the config says so.

    Raises:
        DeploymentFailed: It does not come up.
        GateFailed: Its files changed since the rollout began: what is deployed must be what was planned. Or somebody
            else deployed something under its name meanwhile.
        Lost: The rollout is somebody else's by now.
    """
    state = azure.get_endpoint(rollout.endpoint)
    rollout.own_record(state.tags)
    there = state.deployments.get(rollout.candidate)
    if there and TAG_ROLLOUT not in there.tags:
        msg = f"deployment {rollout.candidate} came up meanwhile and no rollout made it; delete it, or name other slots"
        raise GateFailed(msg)
    azure.create_deployment(
        rollout.project.deployment_path,
        rollout.endpoint,
        rollout.candidate,
        min_instance_count=rollout.candidate_instance_count(100, rollout.baseline.instance_count),
        assets=rollout.project.assets,
        tags=rollout.candidate_tags,
        check=rollout.project.check_unchanged,
    )
