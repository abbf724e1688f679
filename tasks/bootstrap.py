"""Bootstrap: the first deployment of an endpoint, made as carefully as any later one."""

from prefect import task

from saferollout import recorded, smoke
from saferollout.azure import Workspace
from saferollout.errors import GateFailed, Refused
from saferollout.plan import TAG_REVISION, TAG_ROLLOUT
from saferollout.project import Project
from tasks.access import in_workspace, scorer_of
from tasks.policy import STEP


@task(task_run_name="create endpoint", **STEP)
async def create_endpoint(project: Project) -> None:
    """Create the endpoint unless it exists."""
    await in_workspace(project.config.workspace, lambda azure: azure.create_endpoint(project.endpoint_path))


@task(task_run_name="create first deployment", **STEP)
async def create_first(project: Project) -> None:
    """Create the first deployment in the first slot, unless some deployment serves the users already.

    One that an earlier bootstrap could not bring up is made anew. Raises Refused when the slot holds one that no
    bootstrap made: it may be somebody's.
    """
    await in_workspace(project.config.workspace, lambda azure: _create_first(azure, project))


def _create_first(azure: Workspace, project: Project) -> None:
    state = azure.existing(project.endpoint)
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
        project.deployment_path, project.endpoint, slot,
        assets=project.assets, tags=tags, check=project.check_unchanged,
    )  # fmt: skip


@task(task_run_name="smoke test and give it all traffic", **STEP)
async def give_all_traffic(project: Project) -> None:
    """Smoke-test the first deployment, then let the users in; GateFailed if it does not answer as it should."""
    workspace = project.config.workspace
    if (await in_workspace(workspace, lambda azure: azure.existing(project.endpoint))).traffic:
        return
    first = project.config.slots[0]
    requests = recorded.sample(project.requests(), project.config.smoke_test.sample)
    async with await scorer_of(workspace, project.endpoint) as scorer:
        evidence = await smoke.run(
            scorer, requests, project.config.smoke_test, candidate=first, live=first,
            answer_schema=project.answer_schema,
        )  # fmt: skip
    if evidence.verdict == "failed":
        raise GateFailed(evidence.summary, evidence)
    await in_workspace(
        workspace, lambda azure: azure.update_endpoint(project.endpoint, traffic={first: 100}, expected_traffic={})
    )
