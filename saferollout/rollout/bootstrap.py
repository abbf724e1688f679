"""Bootstrap: the first deployment of an endpoint, made as carefully as any later one."""

from saferollout.azure.workspace import Workspace
from saferollout.config.project import Project
from saferollout.domain.errors import Refused
from saferollout.rollout import drift
from saferollout.rollout.rollout import TAG_REVISION, TAG_ROLLOUT


def create_first(azure: Workspace, project: Project) -> None:
    """Create the first deployment in the first slot, unless some deployment serves the users already.

    One that an earlier bootstrap could not bring up is made anew.

    Raises:
        Refused: The slot holds a deployment that no bootstrap made: it may be somebody's.
    """
    state = azure.get_endpoint(project.endpoint)
    if state.traffic:
        return
    slot = project.config.slots[0]
    there = state.deployments.get(slot)
    if there and TAG_ROLLOUT not in there.tags:
        msg = f"deployment {slot} exists and no bootstrap made it; give it traffic, or delete it"
        raise Refused(msg)
    if there and there.broken:
        azure.delete_deployment(project.endpoint, slot)
    tags = {TAG_ROLLOUT: "bootstrap", TAG_REVISION: project.revision}
    azure.create_deployment(
        project.deployment_path, project.endpoint, slot, assets=project.assets, tags=tags, check=project.check_unchanged
    )


def give_all_traffic(azure: Workspace, project: Project) -> None:
    """Let the users in.

    Raises:
        Drifted: Somebody else gave traffic to something meanwhile.
    """
    traffic = {project.config.slots[0]: 100}
    azure.update_endpoint(project.endpoint, traffic=traffic, check=drift.expecting({}, traffic))
