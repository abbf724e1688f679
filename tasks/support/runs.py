"""The flow runs of rollouts, as Prefect shows them to whoever looks after what they left; and what is done to them."""

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.exceptions import ObjectNotFound
from prefect.results import ResultStore, aget_default_result_storage
from prefect.serializers import JSONSerializer
from prefect.settings import get_current_settings
from prefect.states import AwaitingRetry, Cancelled, Completed, Failed

from saferollout.domain.errors import LEFT_AS_IS
from saferollout.domain.fault_points import Step
from saferollout.report.outcome import Outcome
from saferollout.rollout.guard import Run, Sign
from saferollout.rollout.record import Record, now
from tasks.support.boundaries import bounded
from tasks.support.orchestrator import if_known

HEARTBEAT = "prefect.flow-run.heartbeat"
MISSED = 2
"""How many heartbeats a run may miss before it is taken for dead."""
SLACK_S = 5.0
BEATS = 10
"""How many of the last heartbeats are looked at."""

_SIGNS = {
    StateType.RUNNING: Sign.WORKING,
    StateType.PAUSED: Sign.ASKING,
    StateType.PENDING: Sign.STARTING,
    StateType.SCHEDULED: Sign.SCHEDULED,
    StateType.CANCELLING: Sign.CANCELLING,
    StateType.CRASHED: Sign.CRASHED,
}


async def look_up(client: PrefectClient, record: Record) -> Run | None:
    """The run that the record names; None if this server does not know it, nor its deployment.

    Raises:
        HTTPError: Prefect's server fails.
        ObjectNotFound: What answers is not Prefect's server.
    """
    try:
        found = await if_known(client.read_flow_run(UUID(record.owner.flow_run)))
    except ValueError:
        return None
    if found is None:
        deleted = await _knows(client, record.deployment)
        return Run(sign=Sign.DELETED, state="deleted", since=record.since, deployed=True) if deleted else None
    return await describe_run(client, found, orphaned=record.owner.is_gone())


async def describe_run(client: PrefectClient, found: FlowRun, *, orphaned: bool = False) -> Run | None:
    """The run as this server shows it; `orphaned` says that its process is surely gone. None if it has no state."""
    state = found.state
    if state is None:
        return None
    run = Run(
        sign=_SIGNS.get(state.type, Sign.ENDED),
        state=state.name or state.type.value,
        since=state.timestamp,
        deployed=found.deployment_id is not None,
        orphaned=orphaned,
        unasked=await _is_unasked(client, found.id, state),
        left_as_is=state.is_failed() and LEFT_AS_IS in (state.message or ""),
    )
    return await _heard(client, found, run) if run.sign is Sign.WORKING else run


async def _is_unasked(client: PrefectClient, run: UUID, state: State) -> bool:
    """Whether it waits without a question: Prefect takes the state first, and writes form and question after it."""
    if not state.is_paused() or not (keys := state.state_details.run_input_keyset):
        return False
    return not await client.filter_flow_run_input(run, keys["description"], limit=1, exclude_keys=set())


async def _heard(client: PrefectClient, found: FlowRun, run: Run) -> Run:
    """The running run, silent where its process is gone, or its heartbeat came once and comes no longer."""
    if run.orphaned:
        return run.model_copy(update={"sign": Sign.SILENT})
    wanted = EventFilter(
        event=EventNameFilter(name=[HEARTBEAT]), resource=EventResourceFilter(id=[f"prefect.flow-run.{found.id}"])
    )
    beats = [event.occurred for event in (await client.read_events(wanted, limit=BEATS)).events]
    if not beats:
        return run
    heard = max(beats[0], run.since)
    own_s = float(get_current_settings().flows.heartbeat_frequency or 0)  # of this process, whose pool is the run's
    silent = now() - heard > timedelta(seconds=MISSED * beat_s(beats, run.since, own_s) + SLACK_S)
    return run.model_copy(update={"sign": Sign.SILENT if silent else Sign.WORKING, "since": heard})


def beat_s(beats: Sequence[datetime], since: datetime, least_s: float) -> float:
    """How many seconds lie between the heartbeats, the last one first, of a run that is at work `since` then.

    While it waited for a person there were none, so that what lies between two of different processes is not believed
    where there is better.
    """
    pairs = list(itertools.pairwise(beats))
    of_one_process = [pair for pair in pairs if pair[1] >= since]
    return max(least_s, min(((one - other).total_seconds() for one, other in of_one_process or pairs), default=0))


async def _knows(client: PrefectClient, deployment: str) -> bool:
    """Whether this is the server that ran the deployment, and so would know the run if it were there."""
    try:
        await client.read_deployment(UUID(deployment))
    except (ValueError, ObjectNotFound):
        return False
    return True


@bounded(Step.RESUME)
async def begin_again(client: PrefectClient, run: UUID) -> None:
    """Have a worker take the run up again, whatever state it is in."""
    await client.set_flow_run_state(run, AwaitingRetry(), force=True)


@bounded(Step.CLOSE)
async def close(client: PrefectClient, record: Record, outcome: Outcome) -> bool:
    """End the run with this outcome, unless it has ended otherwise than by a crash: its question takes no answer.

    Returns that it has ended, whoever did it.

    Raises:
        HTTPError: Prefect's server fails.
        ObjectNotFound: What answers is not Prefect's server.
    """
    run = await if_known(client.read_flow_run(UUID(record.owner.flow_run)))
    if run is None:
        return True  # somebody has deleted it
    if run.state is not None and run.state.is_final() and not run.state.is_crashed():
        return True
    store = ResultStore(result_storage=await aget_default_result_storage(), serializer=JSONSerializer())
    result = store.create_result_record(outcome)  # its metadata alone would be dropped
    await store.apersist_result_record(result)
    if outcome.outcome == "promoted":
        state: State[Any] = Completed(message=outcome.reason, data=result)
    else:
        end = Cancelled if run.state is not None and run.state.is_cancelling() else Failed
        state = end(message=f"rolled back: {outcome.reason}", data=result)
    await client.set_flow_run_state(run.id, state, force=True)
    return True
