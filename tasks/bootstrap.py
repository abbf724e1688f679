"""Bootstrap: the first deployment of an endpoint, made as carefully as any later one."""

from pathlib import Path

from prefect import task

from saferollout import project, recorded, smoke
from saferollout.azure import load_endpoint
from saferollout.errors import GateFailed
from saferollout.planning import TAG_REVISION, TAG_ROLLOUT
from saferollout.project import Project
from tasks.access import in_workspace, scorer_of
from tasks.policy import STEP


def _project(config: str, deployment: str | None) -> Project:
    return project.load(config, deployment=Path(deployment).resolve() if deployment else None)


@task(task_run_name="create endpoint", **STEP)
async def create_endpoint(config: str, deployment: str | None) -> str:
    """Create the endpoint unless it exists; return its name. ConfigError before Azure is called at all."""
    found = _project(config, deployment)
    load_endpoint(found.endpoint_path)
    await in_workspace(found.config.workspace, lambda azure: azure.create_endpoint(found.endpoint_path))
    return found.endpoint


@task(task_run_name="create first deployment", **STEP)
async def create_first(config: str, deployment: str | None) -> None:
    """Create the first deployment in the first slot, unless some deployment serves the users already."""
    found = _project(config, deployment)
    if await _serves(found):
        return
    tags = {TAG_ROLLOUT: "bootstrap", TAG_REVISION: found.revision}
    await in_workspace(
        found.config.workspace,
        lambda azure: azure.create_deployment(
            found.deployment_path, found.endpoint, found.config.slots[0], model=found.model, tags=tags
        ),
    )


@task(task_run_name="smoke test and give it all traffic", **STEP)
async def give_all_traffic(config: str, deployment: str | None) -> None:
    """Smoke-test the first deployment, then let the users in; GateFailed if it does not answer as it should."""
    found = _project(config, deployment)
    if await _serves(found):
        return
    first = found.config.slots[0]
    requests = recorded.sample(found.requests(), found.config.smoke_test.sample)
    async with await scorer_of(found.config.workspace, found.endpoint) as scorer:
        evidence = await smoke.run(scorer, requests, found.config.smoke_test, candidate=first, live=first)
    if evidence.verdict == "failed":
        raise GateFailed(evidence.summary, evidence)
    await in_workspace(
        found.config.workspace,
        lambda azure: azure.update_endpoint(found.endpoint, traffic={first: 100}, expected_traffic={}),
    )


async def _serves(found: Project) -> bool:
    """Whether some deployment has traffic."""
    state = await in_workspace(found.config.workspace, lambda azure: azure.existing(found.endpoint))
    return bool(state.traffic)
