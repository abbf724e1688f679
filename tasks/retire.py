"""Remove: take away what is no longer needed, never anything that has traffic."""

from prefect import task

from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.fault_points import Step
from saferollout.rollout import retire
from saferollout.rollout.forget import forget as take_off
from saferollout.rollout.rollout import Rollout
from tasks.support.access import in_workspace
from tasks.support.boundaries import bounded
from tasks.support.drain import Drain
from tasks.support.names import named
from tasks.support.policy import STEP


@task(task_run_name=named("retire {rollout.live}"), **STEP)
@bounded(Step.RETIRE)
async def retire_old(rollout: Rollout) -> None:
    """End the rollout: the old deployment goes now, or stays at 0% for its keep window; its record is not forgotten."""
    keep_s = rollout.project.config.retire.keep_s
    drain = Drain(rollout.project)
    await in_workspace(rollout, lambda azure: retire.end(azure, rollout, keep_s, drain.old, forgets=False))
    drain.log()


async def forget(rollout: Rollout) -> None:
    """Take the record of the rollout off its endpoint, now that its end is reported; no task: nothing may follow it."""
    await in_workspace(rollout, lambda azure: take_off(azure, rollout.endpoint, rollout.id))


@task(task_run_name="list the endpoints", **STEP)
async def all_endpoints(workspace: WorkspaceConfig) -> list[str]:
    """The names of the workspace's endpoints."""
    return await in_workspace(workspace, lambda azure: azure.endpoints())


@task(task_run_name="retire what {endpoint} keeps", **STEP)
async def retire_kept(workspace: WorkspaceConfig, endpoint: str, at_once: bool = False) -> str:
    """Delete the old deployment if its keep window is over; say what was done."""
    return await in_workspace(workspace, lambda azure: retire.retire(azure, endpoint, at_once=at_once))


@task(task_run_name="delete {endpoint}", **STEP)
async def delete_endpoint(workspace: WorkspaceConfig, endpoint: str) -> None:
    """Delete the endpoint with all its deployments."""
    await in_workspace(workspace, lambda azure: azure.delete_endpoint(endpoint))
