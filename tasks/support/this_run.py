"""The flow run that does the work, and whether Prefect still wants it to go on."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect import get_client, runtime
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound, Pause
from prefect.flow_runs import asuspend_flow_run
from prefect.logging import get_run_logger
from pydantic import ValidationError

from saferollout.config.names import check_name
from saferollout.config.project import Project, resolve_workspace
from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.errors import Stopped, words_of
from saferollout.report.outcome import seconds
from saferollout.rollout.record import PREFIX
from tasks.support.labels import PAUSE, Asked, asked_of
from tasks.support.orchestrator import insist, is_unknown, passing
from tasks.support.polling import poll
from tasks.support.race import first_of

T = TypeVar("T")

LOOK_S = 5.0
"""How long one look may take: the client's own retries would go on for more than a minute."""
POLL_S = 2.0
WORKER_S = 30.0
"""How long a worker may take to end a run that is cancelled, in seconds; one that has died does not."""
AWAY = (httpx.HTTPError, TimeoutError, ValueError, ObjectNotFound)
"""How a server is out of reach; or what answers is not Prefect, unless it says that it knows no such run."""

_marked: dict[UUID, dict[str, Any]] = {}
"""The labels that runs got in this process: the way back asks no server for what is known here."""


def run_id() -> UUID:
    """The id of the flow run."""
    return UUID(str(runtime.flow_run.id))


async def mark(project: Project) -> None:
    """Put what the run is about to change into its labels, for whoever rolls it back: the config may change."""
    target = project.config.workspace.model_dump() | {"endpoint": project.endpoint}
    labels = {PREFIX + name: value for name, value in target.items()}
    async with get_client() as client:
        await client.update_flow_run_labels(run_id(), labels)
    _marked[run_id()] = labels


def marks(flow_run: FlowRun) -> dict[str, str]:
    """What the run was about to change, in this process or before it began; empty if nothing, as far as is known here.

    The run's own labels may be older than its process, and somebody else's may be among them.
    """
    labels = flow_run.labels | _marked.get(flow_run.id, {})
    names = ("endpoint", *WorkspaceConfig.model_fields)
    return {name: str(labels[PREFIX + name]) for name in names if PREFIX + name in labels}


def target_of(flow_run: FlowRun) -> tuple[WorkspaceConfig, str | None] | None:
    """The workspace and the endpoint that the run was about to change; None if it was about to change nothing.

    Anybody may write labels. What cannot be is not believed: then the environment names that part of the workspace, or
    the endpoint, which is None, is to be looked for by its record.

    Raises:
        ConfigError: The environment does not name it.
    """
    found = marks(flow_run)
    if not found:
        return None
    endpoint = found.pop("endpoint", None)
    try:
        if endpoint is not None:
            check_name("endpoint", endpoint)
    except ValueError:
        endpoint = None
    try:
        workspace = WorkspaceConfig.model_validate(found)
    except ValidationError as error:
        wrong = {str(problem["loc"][0]) for problem in error.errors()}
        workspace = WorkspaceConfig.model_validate({name: found[name] for name in found.keys() - wrong})
    return resolve_workspace(workspace), endpoint


def may_have_begun() -> bool:
    """Whether the current run was about to change something, now or before it was suspended."""
    context = FlowRunContext.get()
    return context is None or context.flow_run is None or bool(marks(context.flow_run))


def began_here() -> bool:
    """Whether any run of this process was about to change something."""
    return bool(_marked)


class ThisRun:
    """The run as Prefect's server shows it; nothing goes forward without a server, or in a run that was ended.

    Raises:
        Stopped: The run was cancelled, ended or deleted, or no server could be reached for `grace_s` seconds; in any
            method that waits.
    """

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._reached_at = time.monotonic()

    async def ready(self) -> None:
        """Return once the run is to go on; wait for Prefect's server where it does not answer at once.

        A run that somebody paused waits: without a process where it is deployed, and until it is continued.

        Raises:
            HTTPError: Prefect's server refused.
            Pause: The run is suspended, and its process is to end.
            ValueError: The answer was not Prefect's.
        """
        told: Asked | None = None
        while asked := asked_of(await self._check(), PAUSE):
            if asked != told:
                get_run_logger().warning("paused by %s", asked)
                told = asked
            if not runtime.deployment.id:
                await asyncio.sleep(POLL_S)
                continue
            try:
                await asuspend_flow_run(key=f"pause-{asked.at.isoformat()}")
            except (httpx.HTTPError, ValueError) as error:
                if not passing(error):
                    raise
                await asyncio.sleep(POLL_S)
            except Pause:
                await insist(_wake_if_continued, self._grace_s)
                raise
            else:
                return  # resumed, whatever the label says by now

    async def unless_stopped(
        self, work: Coroutine[Any, Any, T], end: Callable[[FlowRun], T | None] = lambda _: None
    ) -> T:
        """Do the work, and give it up as soon as the run is not to go on, or `end` returns something instead."""
        return await first_of(work, self._watch(end))

    async def _check(self) -> FlowRun:
        """Return the run once the server shows that it is to go on."""
        self._reached_at = time.monotonic()
        async with get_client() as client:
            while (found := await poll(lambda: self._look(client), POLL_S)) is None:
                pass  # it looks without end
            return found

    async def _watch(self, end: Callable[[FlowRun], T | None]) -> T:
        """Look again and again, without end while the run is to go on."""
        self._reached_at = time.monotonic()
        async with get_client() as client:
            while True:
                found = await self._look(client)
                if found and (ended := end(found)) is not None:
                    return ended
                await asyncio.sleep(POLL_S)

    async def _look(self, client: PrefectClient) -> FlowRun | None:
        """Return the run; None if the server was not reached.

        Raises:
            Stopped: The run has ended, or the server was out of reach for too long.
        """
        try:
            async with asyncio.timeout(LOOK_S):
                found = await client.read_flow_run(run_id())
        except AWAY as error:
            if isinstance(error, ObjectNotFound) and is_unknown(error):
                msg = "the run was deleted in Prefect"
                raise Stopped(msg) from None
            away_s = time.monotonic() - self._reached_at
            if away_s < self._grace_s:
                return None
            msg = f"Prefect's server could not be reached for {seconds(away_s)} ({words_of(error)})"
            raise Stopped(msg) from None
        self._reached_at = time.monotonic()
        _raise_if_ended(found.state)
        return found


async def _wake_if_continued() -> None:
    """Resume the run where it was continued while its suspension was on the way: by now nobody waits for that."""
    async with get_client() as client:
        if asked_of(await client.read_flow_run(run_id()), PAUSE) is None:
            await client.resume_flow_run(run_id())


def _raise_if_ended(state: State[Any] | None) -> None:
    if state is None or not (state.is_final() or state.is_cancelling()) or _is_for_worker(state):
        return
    cancelled = state.is_cancelling() or state.is_cancelled()
    msg = "the run was cancelled in Prefect" if cancelled else f"the run was set to {state.name} in Prefect"
    msg += f" ({state.message})" if state.message else ""
    raise Stopped(msg, cancelled=cancelled)


def _is_for_worker(state: State[Any]) -> bool:
    """Whether it is the worker's to end the run: a deployed one that is being cancelled, which it has rolled back."""
    age_s = (datetime.now(UTC) - state.timestamp).total_seconds()
    return state.is_cancelling() and bool(runtime.deployment.id) and age_s < WORKER_S
