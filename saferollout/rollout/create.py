"""Create: bring the candidate up, without traffic."""

from saferollout.azure.workspace import Workspace
from saferollout.domain.errors import GateFailed
from saferollout.rollout.rollout import TAG_ROLLOUT, Plan


def create_candidate(azure: Workspace, plan: Plan) -> None:
    """Create the candidate unless it is there.

    It gets no fewer instances than the live deployment had, since it shall take over, unless the config says so.

    Raises:
        DeploymentFailed: It does not come up.
        GateFailed: Its files changed since the rollout began: what is deployed must be what was planned. Or somebody
            else deployed something under its name meanwhile.
        Lost: The rollout is somebody else's by now.
    """
    state = azure.existing(plan.endpoint)
    plan.own_record(state.tags)
    there = state.deployments.get(plan.candidate)
    if there and TAG_ROLLOUT not in there.tags:
        msg = f"deployment {plan.candidate} came up meanwhile and no rollout made it; delete it, or name other slots"
        raise GateFailed(msg)
    azure.create_deployment(
        plan.project.deployment_path,
        plan.endpoint,
        plan.candidate,
        min_instance_count=plan.candidate_instance_count(100, plan.baseline.instance_count),
        assets=plan.project.assets,
        tags=plan.candidate_tags,
        check=plan.project.check_unchanged,
    )
