"""Control: a person ends, pauses, continues, hurries or retries the rollout of an endpoint."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from enum import StrEnum
from functools import partial
from uuid import UUID

import httpx
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Scheduled

from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.errors import ConfigError, Problem, Refused, words_of
from saferollout.domain.text import one_line
from saferollout.report.outcome import seconds
from saferollout.rollout.lookout import note_resume
from saferollout.rollout.record import Phase, Record, now
from saferollout.rollout.rollback import roll_back
from tasks.support.access import in_workspace
from tasks.support.labels import PAUSE, SKIP_JUDGE, Asked, ask_of, asked_of
from tasks.support.orchestrator import if_known
from tasks.support.polling import poll

END_S = 10.0
"""How long Prefect's server may take to hear that a rollout was aborted; the rollback does not wait for it."""
SUSPENDING_S = 6.0
"""How long after its last look at its labels a run may suspend itself."""
HANGS_S = 400.0
"""So long without a heartbeat, of which Prefect by default sends one every three minutes, a run hangs."""
NOT_BEGUN_S = 120.0
"""So long a run may take to begin once a worker has it."""
ABORTED = "rolled back: aborted by "
HEARTBEAT = "prefect.flow-run.heartbeat"


class Action(StrEnum):
    """What a person can do with a rollout that is under way."""

    ABORT = "abort"
    PAUSE = "pause"
    CONTINUE = "continue"
    PROMOTE = "promote"
    RETRY = "retry"


async def act(workspace: WorkspaceConfig, endpoint: str, action: Action, by: str, comment: str) -> str:
    """Do it, and return in a sentence what was done.

    Raises:
        ConfigError: Nobody says who, or why where that must be said.
        Refused: There is nothing to do it with.
    """
    if not by.strip():
        raise ConfigError(Problem(f"{action}", "by", "is empty", "say who wants it"))
    if action is Action.PROMOTE and not comment.strip():
        raise ConfigError(Problem("promote", "comment", "is empty", "say why the judge may be skipped"))
    asked = Asked(by=one_line(by)[:60], at=now(), comment=one_line(comment)[:500])
    if action is Action.ABORT:
        return await _abort(workspace, endpoint, asked)
    record = Record.from_tags((await in_workspace(workspace, lambda azure: azure.get_endpoint(endpoint))).tags)
    if record is None or not record.unfinished:
        msg = f"no rollout of {endpoint} is under way: there is nothing to {action}"
        raise Refused(msg)
    if record.phase is Phase.ROLLING_BACK:
        what = f"rollout {record.rollout} of {endpoint} is being rolled back"
        msg = f"{what}; `saferollout rollback {endpoint}` finishes that"
        raise Refused(msg)
    do: dict[Action, Callable[[PrefectClient, FlowRun, str, Asked], Awaitable[str]]] = {
        Action.PAUSE: _pause,
        Action.CONTINUE: _continue,
        Action.PROMOTE: _promote,
        Action.RETRY: partial(_retry, workspace, record),
    }
    async with get_client() as client:
        return await do[action](client, await _run_of(client, record, endpoint), endpoint, asked)


async def _abort(workspace: WorkspaceConfig, endpoint: str, asked: Asked) -> str:
    """Roll back from the tags alone, then end the run in Prefect, so that its form takes no answer."""
    record = await in_workspace(workspace, lambda azure: roll_back(azure, endpoint))
    done = f"rollout {record.rollout} of {endpoint} rolled back: {record.baseline.live} has all traffic"
    return f"{done}; {await end_run(record.owner.flow_run, f'{ABORTED}{asked}')}"


async def end_run(flow_run: str, reason: str) -> str:
    """End a flow run with this reason, if a server can be reached and knows it, and return what came of it."""
    try:
        async with asyncio.timeout(END_S), get_client() as client:
            found = await client.read_flow_run(UUID(flow_run))
            if found.state and found.state.is_final():
                return f"its flow run has ended already: {found.state.name}"
            await client.set_flow_run_state(found.id, Cancelled(message=reason), force=True)
    except (httpx.HTTPError, TimeoutError, ObjectNotFound, RuntimeError, ValueError) as error:
        why = one_line(words_of(error))
        return f"its flow run {flow_run} could not be ended in Prefect ({why}), and ends by itself at its next step"
    return "its flow run is cancelled"


async def _run_of(client: PrefectClient, record: Record, endpoint: str) -> FlowRun:
    with contextlib.suppress(ValueError):  # what the tag holds is not an id
        if found := await if_known(client.read_flow_run(UUID(record.owner.flow_run))):
            return found
    msg = (
        f"this Prefect server ({client.api_url}) knows no flow run {record.owner.flow_run}, "
        f"in which {record.owner.name} began rollout {record.rollout} of {endpoint}; "
        f"`saferollout rollback {endpoint}` works without Prefect"
    )
    raise Refused(msg)


def _check_at_work(run: FlowRun, endpoint: str) -> None:
    if run.state and run.state.is_final():
        msg = (
            f"flow run {run.id} of {endpoint} is {run.state.name}: nothing is at work; `saferollout retry {endpoint}` "
            f"goes on, `saferollout rollback {endpoint}` goes back"
        )
        raise Refused(msg)


async def _pause(client: PrefectClient, run: FlowRun, endpoint: str, asked: Asked) -> str:
    _check_at_work(run, endpoint)
    if before := asked_of(run, PAUSE):
        msg = f"the rollout of {endpoint} is paused already, by {before}"
        raise Refused(msg)
    await ask_of(client, run.id, PAUSE, asked)
    return (
        f"the rollout of {endpoint} stops before its next step, and its candidate keeps the traffic that it has, until "
        f"`saferollout continue {endpoint}`"
    )


async def _continue(client: PrefectClient, run: FlowRun, endpoint: str, _: Asked) -> str:
    _check_at_work(run, endpoint)
    before = asked_of(run, PAUSE)
    if before is None and not _is_suspended_by_pause(run):
        msg = f"the rollout of {endpoint} is not paused"
        raise Refused(msg)
    await ask_of(client, run.id, PAUSE, None)

    async def suspended() -> bool | None:
        """Whether it is suspended; None if it may still be about to."""
        found = await client.read_flow_run(run.id)
        if _is_suspended_by_pause(found):
            return True
        return None if run.deployment_id and found.state and found.state.is_running() else False

    if await poll(suspended, 1.0, SUSPENDING_S):
        await client.resume_flow_run(run.id)
    return f"the rollout of {endpoint} goes on" + (f"; it was paused by {before}" if before else "")


def _is_suspended_by_pause(run: FlowRun) -> bool:
    """Whether it waits for nothing but to be continued; a question is something else."""
    if run.state is None or not run.state.is_paused():
        return False
    return run.state.state_details.run_input_keyset is None


async def _promote(client: PrefectClient, run: FlowRun, endpoint: str, asked: Asked) -> str:
    _check_at_work(run, endpoint)
    await ask_of(client, run.id, SKIP_JUDGE, asked)
    return f"the judge that watches the candidate of {endpoint} now, or else the next one, is skipped"


async def _retry(
    workspace: WorkspaceConfig, record: Record, client: PrefectClient, run: FlowRun, endpoint: str, asked: Asked
) -> str:
    """Schedule the run again: it begins anew, and each step that is done, or decided, has nothing left to do.

    A process that hung, and goes on after all, finds in the record that the rollout is no longer its own.

    Raises:
        Refused: It has not failed, or is not for a worker to run, or goes on after all.
    """
    if run.deployment_id is None:
        msg = (
            f"flow run {run.id} of {endpoint} is not of a deployment: repeat the `saferollout run` that began it, "
            "which goes on where it was"
        )
        raise Refused(msg)
    if why := await _why_not(client, run):
        msg = f"flow run {run.id} of {endpoint} {why}; there is nothing to retry"
        raise Refused(msg)
    await in_workspace(workspace, lambda azure: note_resume(azure, endpoint, record, by_a_person=True))
    was = run.state.name if run.state else "without a state"
    await client.set_flow_run_state(run.id, Scheduled(message=f"retried by {asked}"), force=True)
    return f"flow run {run.id} of {endpoint}, which was {was}, is scheduled again"


async def _why_not(client: PrefectClient, run: FlowRun) -> str:
    """Why a run is not to be scheduled again; empty if it has failed or hangs."""
    if (state := run.state) is None:
        return ""
    if state.type in (StateType.FAILED, StateType.CRASHED):
        return ""
    if state.type in (StateType.COMPLETED, StateType.CANCELLED):
        return f"is {state.name}"
    if state.is_paused():
        return "is paused: `saferollout continue` goes on" if _is_suspended_by_pause(run) else "waits for an answer"
    if state.type is StateType.SCHEDULED and state.name != "Resuming":
        return f"is {state.name} already, and begins when a worker takes it"
    age_s, limit_s = (now() - state.timestamp).total_seconds(), NOT_BEGUN_S
    if state.is_running() or state.is_cancelling():
        last = await _last_heartbeat_s(client, run)
        age_s, limit_s = min(age_s, last if last is not None else age_s), HANGS_S
    if age_s > limit_s:
        return ""
    return f"is {state.name}, with a sign of life {seconds(age_s)} ago: it hangs after {seconds(limit_s)} without one"


async def _last_heartbeat_s(client: PrefectClient, run: FlowRun) -> float | None:
    """How long ago the run's last heartbeat was, in seconds; None if Prefect keeps none."""
    wanted = EventFilter(
        event=EventNameFilter(name=[HEARTBEAT]), resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"])
    )
    page = await client.read_events(wanted, limit=1)
    return (now() - page.events[0].occurred).total_seconds() if page.events else None
