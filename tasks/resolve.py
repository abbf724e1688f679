"""Resolve: find the version that each label of a registered model or environment is on."""

from prefect import task

from saferollout.assets import label_of
from saferollout.project import Project
from tasks.access import in_workspace
from tasks.policy import ONCE, RETRIED


@task(task_run_name="resolve labels", **(RETRIED | ONCE))
async def resolve_labels(project: Project) -> dict[str, str]:
    """Return the project's assets with their versions, fixed for the run: a label that moves while it waits is another
    candidate's.
    """
    if not any(map(label_of, project.assets.values())):
        return project.assets
    return await in_workspace(project.config.workspace, lambda azure: azure.resolve(project.assets))
