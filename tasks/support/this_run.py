"""The flow run that does the work, and whether Prefect still wants it to go on."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar
from uuid import UUID

import httpx
from prefect import get_client, runtime
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound

from saferollout.config.project import Project
from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.errors import Stopped
from saferollout.report.outcome import seconds
from saferollout.rollout.record import PREFIX
from tasks.support.orchestrator import is_unknown
from tasks.support.polling import poll
from tasks.support.race import first_of

T = TypeVar("T")

LOOK_S = 5.0
"""How long one look may take: the client's own retries would go on for more than a minute."""
POLL_S = 2.0
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


def may_have_begun() -> bool:
    """Whether the current run was about to change something, now or before it was suspended."""
    context = FlowRunContext.get()
    return context is None or context.flow_run is None or bool(marks(context.flow_run))


def began_here() -> bool:
    """Whether any run of this process was about to change something."""
    return bool(_marked)


class ThisRun:
    """The run as Prefect's server shows it; nothing goes forward without a server, or in a run that was ended.

    Raises Stopped when the run was cancelled, ended or deleted, or when no server could be reached for `grace_s`
    seconds.
    """

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._reached_at = time.monotonic()

    async def step(self, work: Coroutine[Any, Any, T]) -> T:
        """Do the work if the run is to go on; wait for Prefect's server where it does not answer at once."""
        try:
            await self._check()
        except BaseException:
            work.close()
            raise
        return await work

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """Do the work, and give it up as soon as the run is not to go on."""
        return await first_of(work, self._watch())

    async def _check(self) -> None:
        """Return once the server shows that the run is to go on."""
        self._reached_at = time.monotonic()
        async with get_client() as client:
            await poll(lambda: self._look(client), POLL_S)

    async def _watch(self) -> NoReturn:
        """Look again and again, without end while the run is to go on."""
        self._reached_at = time.monotonic()
        async with get_client() as client:
            while True:
                await self._look(client)
                await asyncio.sleep(POLL_S)

    async def _look(self, client: PrefectClient) -> bool:
        """Return whether the server was reached.

        Raises:
            Stopped: The run has ended, or the server was out of reach for too long.
        """
        try:
            async with asyncio.timeout(LOOK_S):
                state = (await client.read_flow_run(run_id())).state
        except AWAY as error:
            if isinstance(error, ObjectNotFound) and is_unknown(error):
                msg = "the run was deleted in Prefect"
                raise Stopped(msg) from None
            away_s = time.monotonic() - self._reached_at
            if away_s < self._grace_s:
                return False
            msg = f"Prefect's server could not be reached for {seconds(away_s)} ({error or type(error).__name__})"
            raise Stopped(msg) from None
        self._reached_at = time.monotonic()
        _raise_if_ended(state)
        return True


def _raise_if_ended(state: State[Any] | None) -> None:
    # a deployed run that is being cancelled is ended by its worker, which has it rolled back
    ending = state is not None and state.is_cancelling() and not runtime.deployment.id
    if state is None or not (state.is_final() or ending):
        return
    cancelled = state.is_cancelling() or state.is_cancelled()
    msg = "the run was cancelled in Prefect" if cancelled else f"the run was set to {state.name} in Prefect"
    raise Stopped(msg, cancelled=cancelled)
