"""Resolve: find the version that each label of a registered model or environment is on."""

from prefect import task

from saferollout.config.assets import label_of
from saferollout.config.project import Project
from tasks.support.access import in_workspace
from tasks.support.names import named
from tasks.support.policy import ONCE, RETRIED


@task(task_run_name=named("resolve labels"), **(RETRIED | ONCE))
async def resolve_labels(project: Project) -> dict[str, str]:
    """Return the project's assets with their versions, fixed for the run.

    A label that moves while the run waits belongs to another candidate.
    """
    if not any(map(label_of, project.assets.values())):
        return project.assets
    return await in_workspace(project.config.workspace, lambda azure: azure.resolve(project.assets))
