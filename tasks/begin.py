"""Begin: look at the endpoint as it is, put the record there, and say what is going to happen."""

import asyncio
import math
import time
from uuid import UUID

from prefect import get_client, runtime, task
from prefect.client.schemas.objects import TaskRun
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger

from saferollout.approvals.requester import Requester
from saferollout.config.project import Project
from saferollout.config.rollout import WhenBusy
from saferollout.domain.errors import AzureFailed, Taken
from saferollout.domain.fault_points import Step
from saferollout.report.outcome import DONE_BEFORE
from saferollout.rollout import begin
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import Record
from saferollout.rollout.rollout import Rollout
from saferollout.rollout.succession import is_older, may_supersede
from tasks.support import requests
from tasks.support.access import in_workspace
from tasks.support.boundaries import bounded
from tasks.support.drain import Drain
from tasks.support.names import named, steps_of
from tasks.support.policy import STEP
from tasks.support.requester import requester_of
from tasks.support.this_run import ThisRun, mark, run_id

NAME = "baseline"
LOOK_S = 10.0
WAIT_S = 24 * 3600.0
"""How long a deployed run waits for another rollout's end: its worker keeps a process for it all that time."""


@task(task_run_name=named(NAME), **STEP)
@bounded(Step.BASELINE)
async def take_baseline(
    project: Project, wait: bool = False, again: str = "", *, is_event: bool = False
) -> Rollout | str:
    """Begin the rollout, or resume what this one left.

    Returns why there is nothing to do, where the same was requested before; empty if it is live already.

    `wait` waits for the end of another rollout that has the endpoint, a deployed run for a day at most; by default the
    config says what follows then. `again` is who rolls the revision out although it is held.

    Raises:
        Taken: Another rollout has the endpoint.
        Refused: The endpoint is not in a state for a rollout, or the revision is held.
        AzureFailed: Azure or the network failed; not where that passes while it waits.
    """
    until = time.monotonic() + (WAIT_S if runtime.deployment.id else math.inf)
    when_busy = WhenBusy.QUEUE if wait else project.config.when_busy
    said = ""
    while True:
        if before := await requests.earlier(project):
            return before
        try:
            wanted_by = requester_of(project.request.by, is_event=is_event)
            begun = await _begin(project, again, wanted_by, supersede=when_busy is WhenBusy.SUPERSEDE)
        except Taken as taken:
            if taken.revision == project.revision and runtime.deployment.id:
                return f"already requested by run {taken.flow_run}, which rolls this revision out; nothing to do"
            is_late = when_busy is WhenBusy.SUPERSEDE and is_older(project.model, taken.model)
            if when_busy is WhenBusy.REFUSE or is_late or time.monotonic() >= until:
                raise
            if said != str(taken):
                said = str(taken)
                get_run_logger().warning("waiting: %s", said)
        except AzureFailed as error:
            if not (said and error.retryable):
                raise
        else:
            if begun is not None:
                await requests.note(project)
            return begun or ""
        await ThisRun(project.config.orchestrator_grace_s).unless_stopped(asyncio.sleep(LOOK_S))


async def _begin(project: Project, again: str, wanted_by: Requester, *, supersede: bool) -> Rollout | None:
    workspace = project.config.workspace
    state = await in_workspace(workspace, lambda azure: azure.settled(project.endpoint))
    record = Record.from_tags(state.tags)
    owner = Owner.here(str(run_id()), in_process=not runtime.deployment.id)
    replaced = record if record and supersede and may_supersede(project, record, owner) else None
    gone = record.owner if record and (replaced or await _is_gone(record.owner, owner)) else None
    before = await _begun_before()
    await mark(project)
    drain = Drain(project)
    begun = await in_workspace(
        workspace,
        lambda azure: begin.begin(
            azure,
            project,
            owner,
            gone=gone,
            begun_before=before,
            deployment=str(runtime.deployment.id or ""),
            again=again,
            drain=drain,
            requester=wanted_by,
        ),
    )
    if replaced:
        await requests.cancel(replaced.owner.flow_run)
    is_own = record is None or not record.unfinished or record.owner.flow_run == owner.flow_run
    if begun and wanted_by.name and is_own:  # what a tag says of it, anybody may have written
        return begun.model_copy(update={"requester": wanted_by})
    return begun


async def _begun_before() -> bool:
    """Whether this run took its baseline before it was suspended: then the record must still be there."""
    return any(run.flow_run_run_count == runtime.flow_run.run_count for run in await baselines_of(run_id()))


async def baselines_of(run: UUID) -> list[TaskRun]:
    """The times that a run has taken its baseline: after the first one its rollout has begun."""
    return [
        step
        for step in await steps_of(run)
        if step.name.removesuffix(DONE_BEFORE) == NAME and step.state_name == "Completed"
    ]


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
