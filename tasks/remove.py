"""Remove: take away what is not needed any more, never anything that has traffic."""

from datetime import timedelta

from prefect import task

from saferollout import planning
from saferollout.azure import Workspace
from saferollout.config import WorkspaceConfig
from saferollout.domain import Plan
from saferollout.errors import Refused
from saferollout.record import Phase, Record, now, without_record
from tasks.access import in_workspace, project_of
from tasks.policy import STEP


@task(task_run_name="retire {plan.live}", **STEP)
async def retire_old(plan: Plan) -> None:
    """End the rollout: the old deployment goes now and the record with it, or both stay for the keep window."""
    keep_s = project_of(plan).config.retire.keep_s
    if keep_s:
        until = now() + timedelta(seconds=keep_s)
        await in_workspace(
            plan,
            lambda azure: azure.update_endpoint(
                plan.endpoint,
                tags=lambda tags: planning.advanced(tags, plan, phase=Phase.KEEPING, keep_until=until),
            ),
        )
    else:
        await in_workspace(plan, lambda azure: _delete(azure, plan.endpoint, plan.live))


@task(task_run_name="retire what {endpoint} keeps", **STEP)
async def retire_kept(workspace: WorkspaceConfig, endpoint: str, at_once: bool = False) -> str:
    """Delete the old deployment if its keep window is over; say what was done. Refused while a rollout is under way."""
    record = Record.from_tags((await in_workspace(workspace, lambda azure: azure.existing(endpoint))).tags)
    if record is None:
        return f"{endpoint} keeps nothing"
    if record.unfinished or record.keep_until is None:
        msg = f"rollout {record.rollout} of {endpoint} is unfinished; nothing is retired before its end"
        raise Refused(msg)
    if record.keep_until > now() and not at_once:
        return f"{endpoint} keeps {record.baseline.live} until {record.keep_until:%Y-%m-%d %H:%M:%S %Z}"
    old = record.baseline.live
    await in_workspace(workspace, lambda azure: _delete(azure, endpoint, old))
    return f"{old} of {endpoint} deleted"


@task(task_run_name="delete {endpoint}", **STEP)
async def delete_endpoint(workspace: WorkspaceConfig, endpoint: str) -> None:
    """Delete the endpoint with all its deployments."""
    await in_workspace(workspace, lambda azure: azure.delete_endpoint(endpoint))


def _delete(workspace: Workspace, endpoint: str, deployment: str) -> None:
    workspace.delete_deployment(endpoint, deployment)
    workspace.update_endpoint(endpoint, tags=without_record)
