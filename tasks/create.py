"""Create: bring the candidate up, without traffic."""

from prefect import task

from saferollout.domain import Plan
from saferollout.planning import TAG_REVISION, TAG_ROLLOUT
from tasks.access import in_workspace, project_of
from tasks.policy import STEP


@task(task_run_name="create {plan.candidate}", **STEP)
async def create_candidate(plan: Plan) -> None:
    """Create the candidate unless it is there; DeploymentFailed if it does not come up.

    It gets no fewer instances than the live deployment had, since it shall take over all of its traffic.
    """
    project = project_of(plan)
    await in_workspace(
        plan,
        lambda azure: azure.create_deployment(
            project.deployment_path,
            plan.endpoint,
            plan.candidate,
            min_instance_count=plan.baseline.instance_count,
            model=project.model,
            tags={TAG_ROLLOUT: plan.rollout, TAG_REVISION: plan.revision},
        ),
    )
