"""Create: bring the candidate up, without traffic."""

from saferollout.azure.workspace import Workspace
from saferollout.rollout import drift
from saferollout.rollout.rollout import Rollout


def create_candidate(azure: Workspace, rollout: Rollout) -> None:
    """Create the candidate unless it is there.

    It gets no fewer instances than the live deployment had, since it is to take over, unless the config says so.

    Raises:
        DeploymentFailed: It does not come up.
        Drifted: Somebody else changed something, or deployed something under its name meanwhile.
        GateFailed: Its files changed since the rollout began: what is deployed must be what was planned.
        Lost: The rollout is somebody else's by now.
    """
    drift.check(azure, azure.settled(rollout.endpoint), rollout, is_created=False)
    azure.create_deployment(
        rollout.project.deployment_path,
        rollout.endpoint,
        rollout.candidate,
        min_instance_count=rollout.candidate_instance_count(100, rollout.baseline.instance_count),
        assets=rollout.project.assets,
        tags=rollout.candidate_tags,
        check=rollout.project.check_unchanged,
    )
