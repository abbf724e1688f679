"""Baseline: look at the endpoint as it is, put the record there, and say what is going to happen."""

from uuid import UUID

from prefect import get_client, runtime, task
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound

from saferollout.approvals.requester import Requester, find_requester
from saferollout.config.handover import read_event
from saferollout.config.project import Project
from saferollout.config.yaml_file import display_path
from saferollout.domain.errors import ConfigError, Problem
from saferollout.report.outcome import DONE_BEFORE
from saferollout.rollout import begin
from saferollout.rollout.record import Owner, Record
from saferollout.rollout.rollout import Rollout
from tasks.support.access import in_workspace
from tasks.support.names import named, steps_of
from tasks.support.policy import STEP
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
    wanted_by = _requester(project, event, requester)
    await mark(project)
    begun = await in_workspace(
        workspace, lambda azure: begin.begin(azure, project, owner, gone=gone, begun_before=before, requester=wanted_by)
    )
    is_own = record is None or not record.unfinished or record.owner.flow_run == owner.flow_run
    if begun and wanted_by.name and is_own:  # what a tag says of it, anybody may have written
        return begun.model_copy(update={"requester": wanted_by})
    return begun


def _requester(project: Project, event: str, given: str) -> Requester:
    """Who wanted the rollout, as the event or whoever started the run says, or as far as Prefect knows.

    Raises:
        ConfigError: Nobody says it, though who requested the rollout may not approve it.
    """
    context = FlowRunContext.get()
    creator = context.flow_run.created_by if context and context.flow_run else None
    found = find_requester(
        read_event(event).requester if event else "", given, (creator.display_value if creator else "") or ""
    )
    config = project.config
    if not found.name and any(config.approvals_of(stage).not_requester for stage in config.stages):
        file, key = display_path(project.config_path), "approvals.not_requester"
        problem = "who requested this rollout may not approve it, and nobody says who that is"
        raise ConfigError(Problem(file, key, problem, "start the run with a `requester`, or name one in the event"))
    return found


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
