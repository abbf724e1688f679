"""Baseline: look at the endpoint as it is, put the record there, and say what is going to happen."""

from uuid import UUID

from prefect import get_client, runtime, task
from prefect.exceptions import ObjectNotFound

from saferollout.config.project import Project
from saferollout.report.outcome import DONE_BEFORE
from saferollout.rollout import begin
from saferollout.rollout.record import Owner, Record
from saferollout.rollout.rollout import Rollout
from tasks.support.access import in_workspace
from tasks.support.names import named, steps_of
from tasks.support.policy import STEP
from tasks.support.requester import requester_of
from tasks.support.this_run import mark, run_id

NAME = "baseline"


@task(task_run_name=named(NAME), **STEP)
async def take_baseline(project: Project, *, event: str = "", requester: str = "") -> Rollout | None:
    """Begin the rollout, or resume what this one left; None if it is live already, Refused if the endpoint is taken."""
    workspace = project.config.workspace
    state = await in_workspace(workspace, lambda azure: azure.settled(project.endpoint))
    record = Record.from_tags(state.tags)
    owner = Owner.here(str(run_id()), in_process=not runtime.deployment.id)
    gone = record.owner if record and await _is_gone(record.owner, owner) else None
    before = await _begun_before()
    wanted_by = requester_of(event, requester)
    await mark(project)
    begun = await in_workspace(
        workspace, lambda azure: begin.begin(azure, project, owner, gone=gone, begun_before=before, requester=wanted_by)
    )
    is_own = record is None or not record.unfinished or record.owner.flow_run == owner.flow_run
    if begun and wanted_by.name and is_own:  # what a tag says of it, anybody may have written
        return begun.model_copy(update={"requester": wanted_by})
    return begun


async def _begun_before() -> bool:
    """Whether this run took its baseline before it was suspended: then the record must still be there."""
    return any(
        run.name.removesuffix(DONE_BEFORE) == NAME
        and run.state_name == "Completed"
        and run.flow_run_run_count == runtime.flow_run.run_count
        for run in await steps_of(run_id())
    )


async def _is_gone(owner: Owner, here: Owner) -> bool:
    """Whether nobody works on the other's rollout now, as far as its process and Prefect show.

    Where the process can be seen it alone decides: anybody can set the state of a run whose process lives. A run that
    this Prefect server does not know is not gone: it may be another server's, or one from before a reset.
    """
    if owner.is_here() and owner.process != here.process:
        return owner.is_gone()
    async with get_client() as client:
        try:
            run = await client.read_flow_run(UUID(owner.flow_run))
        except (ObjectNotFound, ValueError):
            return False
    return run.state is not None and run.state.is_final()
