"""Bootstrap: the first deployment of an endpoint, made as carefully as any later one."""

from prefect import task

from saferollout.config.project import Project
from saferollout.domain.errors import GateFailed
from saferollout.domain.evidence import GateVerdict
from saferollout.rollout import bootstrap as first
from tasks.smoke_test import run_smoke_test
from tasks.support.access import in_workspace
from tasks.support.policy import STEP


@task(task_run_name="create endpoint", **STEP)
async def create_endpoint(project: Project) -> None:
    """Create the endpoint unless it exists."""
    await in_workspace(project.config.workspace, lambda azure: azure.create_endpoint(project.endpoint_path))


@task(task_run_name="create first deployment", **STEP)
async def create_first(project: Project) -> None:
    """Create the first deployment, unless some deployment serves the users already."""
    await in_workspace(project.config.workspace, lambda azure: first.create_first(azure, project))


@task(task_run_name="smoke test and give it all traffic", **STEP)
async def give_all_traffic(project: Project) -> None:
    """Smoke-test the first deployment, then let the users in.

    Raises:
        GateFailed: It does not answer as it should.
    """
    workspace = project.config.workspace
    if (await in_workspace(workspace, lambda azure: azure.get_endpoint(project.endpoint))).traffic:
        return
    slot = project.config.slots[0]
    evidence = await run_smoke_test(project, candidate=slot, live=slot)
    if evidence.verdict is GateVerdict.FAILED:
        raise GateFailed(evidence.summary, evidence)
    await in_workspace(workspace, lambda azure: first.give_all_traffic(azure, project))
