"""Create: bring the candidate up, without traffic."""

from saferollout.azure.workspace import Workspace
from saferollout.rollout.rollout import Plan


def create_candidate(azure: Workspace, plan: Plan) -> None:
    """Create the candidate unless it is there.

    It gets no fewer instances than the live deployment had, since it shall take over, unless the config says so.

    Raises:
        DeploymentFailed: It does not come up.
        GateFailed: Its files changed since the rollout began: what is deployed must be what was planned.
        Lost: The rollout is somebody else's by now.
    """
    plan.own_record(azure.existing(plan.endpoint).tags)
    azure.create_deployment(
        plan.project.deployment_path,
        plan.endpoint,
        plan.candidate,
        min_instance_count=plan.candidate_instance_count(100, plan.baseline.instance_count),
        assets=plan.project.assets,
        tags=plan.candidate_tags,
        check=plan.project.check_unchanged,
    )
