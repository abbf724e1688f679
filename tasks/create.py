"""Create: bring the candidate up, without traffic."""

from prefect import task

from saferollout.azure import Workspace
from saferollout.plan import Plan
from tasks.access import in_workspace
from tasks.policy import STEP


@task(task_run_name="create {plan.candidate}", **STEP)
async def create_candidate(plan: Plan) -> None:
    """Create the candidate unless it is there; DeploymentFailed if it does not come up.

    It gets no fewer instances than the live deployment had, since it shall take over, unless the config says so.
    GateFailed if its files changed since the rollout began: what is deployed must be what was planned.
    """
    await in_workspace(plan, lambda azure: _create(azure, plan))


def _create(azure: Workspace, plan: Plan) -> None:
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
