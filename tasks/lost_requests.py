"""Lost requests: rollouts asked for that never began, and of which no record on the endpoint says so.

Their process was lost before, or Prefect failed to start a run for an event.
"""

import asyncio
import json
from datetime import timedelta
from uuid import UUID

from prefect import get_client, task
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterIdempotencyKey,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events import Event
from prefect.events.filters import (
    EventFilter,
    EventIDFilter,
    EventNameFilter,
    EventOccurredFilter,
    EventRelatedFilter,
)
from prefect.states import Crashed

from saferollout.config.rollout import MAX_RESUMES
from saferollout.domain.errors import Missing
from saferollout.rollout.guard import SETTLING_S, Sign, lost_before_it_began
from saferollout.rollout.record import Record, now
from tasks.begin import baselines_of
from tasks.support import runs
from tasks.support.access import in_workspace
from tasks.support.orchestrator import if_known
from tasks.support.policy import STEP
from tasks.support.requests import DEPLOYMENT
from tasks.support.this_run import target_of
from tasks.support.turns import look_after_all

ROLLOUT = FlowFilter(name=FlowFilterName(any_=["rollout"]))
AT_WORK = FlowRunFilter(
    state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING]))
)

FAILED = "prefect.automation.action.failed"
REQUESTED = "saferollout.requested"
RECENT = timedelta(minutes=15)
"""How long after Prefect's failure a rollout is still started: later somebody may have asked for another one."""
LIMIT = 50
MAX_LENGTH = 100_000
"""How much of an event's payload a run gets, as in `prefect.yaml`."""


@task(task_run_name="look for lost requests", **STEP)
async def recover_unbegun(flow_run: UUID | None = None) -> dict[str, str]:
    """Have the rollouts begin again whose request would be lost, and say in a line for each run what was done.

    The endpoints do not show them: a worker lost its machine before the run took its baseline, or while it waited for
    another rollout's end. Only runs of a deployment; by default those that Prefect shows at work, else this `flow_run`.

    Raises:
        AzureFailed: It cannot be seen whether a rollout has begun; raised when all runs had their turn.
    """
    async with get_client() as client:
        if flow_run is None:
            found = await client.read_flow_runs(flow_filter=ROLLOUT, flow_run_filter=AT_WORK)
        else:
            found = [await client.read_flow_run(flow_run)]
        deployed = {str(run.id): run for run in found if run.deployment_id}
        done = await look_after_all(deployed, lambda key: _recover(client, deployed[key]))
    return {f"run {deployed[key].name}": line for key, line in done.items() if line}


@task(task_run_name="look for lost events", **STEP)
async def recover_events() -> dict[str, str]:
    """Start the rollouts that events asked for and Prefect failed to start, and say in a line for each what was done.

    Its server tries no action of an automation twice, not even where only its database was locked. The run gets the key
    that it was to have, so that there is one in any case.

    Raises:
        ObjectNotFound: What answers is not Prefect's server.
    """
    async with get_client() as client:
        found = await if_known(client.read_deployment_by_name(DEPLOYMENT))
        if found is None:
            return {}
        deployment = found.id
        wanted = EventFilter(
            occurred=EventOccurredFilter(since=now() - RECENT),
            event=EventNameFilter(name=[FAILED]),
            related=EventRelatedFilter(id=[f"prefect.deployment.{deployment}"]),
        )
        failures = {run_key(failure): failure for failure in (await client.read_events(wanted, limit=LIMIT)).events}
        if not failures:
            return {}
        by_key = FlowRunFilterIdempotencyKey(any_=list(failures))
        for run in await client.read_flow_runs(flow_run_filter=FlowRunFilter(idempotency_key=by_key)):
            failures.pop(run.idempotency_key or "", None)
        done = await look_after_all(failures, lambda key: _start(client, deployment, key, failures[key]))
    return {f"event {_cause_of(failures[key])}": line for key, line in done.items() if line}


def run_key(done: Event) -> str:
    """The key of the run that an action has started, or was to start, as Prefect's server makes it."""
    automation = done.resource.id.removeprefix("prefect.automation.")
    said = done.payload
    return f"automation {automation}, action {said.get('action_index')}, invocation {said.get('invocation')}"


def _cause_of(failure: Event) -> str:
    """The id of the event for which the action was to be done; empty if none is named."""
    causes = (related.id for related in failure.related if related.role == "triggering-event")
    return next(causes, "").removeprefix("prefect.event.")


async def _start(client: PrefectClient, deployment: UUID, key: str, failure: Event) -> str:
    """Start the run; empty if the event is gone, or is not a request: a team may have automations of its own."""
    if not (cause := _cause_of(failure)):
        return ""
    wanted = EventFilter(id=EventIDFilter(id=[UUID(cause)]), event=EventNameFilter(name=[REQUESTED]))
    found = (await client.read_events(wanted, limit=1)).events
    if not found:
        return ""
    asked = {"event": json.dumps(found[0].payload)[:MAX_LENGTH]}
    run = await client.create_flow_run_from_deployment(deployment, parameters=asked, idempotency_key=key)
    return f"Prefect failed to start its rollout ({failure.payload.get('reason')}): run {run.name} does it"


async def _recover(client: PrefectClient, run: FlowRun) -> str:
    """What was done about the run; empty if nothing had to be."""
    shown = await runs.describe_run(client, run)
    if shown and shown.sign is Sign.CRASHED:
        await asyncio.sleep(max(0.0, SETTLING_S - (now() - shown.since).total_seconds()))
    if shown is None or not (how := lost_before_it_began(shown, now())) or await _has_record(run):
        return ""
    resumes = [state for state in await client.read_flow_run_states(run.id) if state.name == "AwaitingRetry"]
    if await baselines_of(run.id):
        said = (
            "its rollout is over, and its process was lost before it reported the end; see its report, if there is one"
        )
    elif len(resumes) >= MAX_RESUMES:
        said = f"nothing was begun, although it began again {len(resumes)} times: see its logs, then ask once more"
    else:
        said = ""
    read = await client.read_flow_run(run.id)
    if read.state is None or run.state is None or read.state.id != run.state.id:
        return ""  # somebody else has done something about it meanwhile
    if not said:
        await runs.begin_again(client, run.id)
        return f"{how}, and nothing was begun: it begins again ({len(resumes) + 1} of {MAX_RESUMES})"
    if shown.sign is not Sign.CRASHED:
        await client.set_flow_run_state(run.id, Crashed(message=said), force=True)
    return f"{how}; {said}"


async def _has_record(run: FlowRun) -> bool:
    """Whether a record says what is to be done about it, which is the endpoint's guard's to do."""
    target = target_of(run)
    if target is None:
        return False
    workspace, endpoint = target
    if endpoint is None:
        return True  # somebody else's label: it may have one
    try:
        state = await in_workspace(workspace, lambda azure: azure.get_endpoint(endpoint))
    except Missing:
        return False
    record = Record.from_tags(state.tags)
    return record is not None and record.owner.flow_run == str(run.id)
