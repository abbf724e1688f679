"""Run flows from the command line: here in this process, or on the Prefect server's workers."""

import asyncio
import contextlib
import functools
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, InvalidStateError
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console

from saferollout.approvals.freeze import check_windows
from saferollout.azure import yaml_files
from saferollout.config import project
from saferollout.config.model_version import ModelVersion
from saferollout.config.project import Project
from saferollout.config.request import RolloutRequest, find_config
from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.errors import NotRolledBack, Refused, SaferolloutError, words_of
from saferollout.report.outcome import Outcome
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import Record, now
from saferollout_cli import steps
from saferollout_cli.choices import Approve
from saferollout_cli.environment import check_prefect_home, check_server, patient, server_url
from saferollout_cli.terminal import divert, err, say
from tasks.support import threads

TELL_S = 20.0
"""How long Prefect's server may take to hear of the end of a run."""


def flow_here(flow: Any, **parameters: Any) -> Any:
    """Run a flow in this process and return its result; its failure is raised as it was.

    An interrupt (Ctrl-C) ends it at once: each of these flows does what is left when it is run again.
    """
    check_prefect_home()
    watch_steps(flow.name)
    with repeatable(flow.name):
        return _result(asyncio.run(_state_of(flow, parameters)))


def watch_steps(command: str) -> None:
    """Say how steps end, and what is tried again; all else that libraries say goes to a log."""
    if divert(command):
        steps.report()


@contextlib.contextmanager
def repeatable(name: str) -> Iterator[None]:
    """Say of an interrupted command that it can be repeated."""
    try:
        yield
    except KeyboardInterrupt:
        msg = f"interrupted: the {name} is not done, and what Azure has begun goes on; repeat the command"
        raise SaferolloutError(msg) from None


def workspace_of(config: WorkspaceConfig, command: str) -> Any:
    """A connection to the workspace for a command, without Prefect."""
    watch_steps(command)
    from saferollout.azure.client import Client
    from saferollout.azure.workspace import Workspace

    return Workspace(Client(config))


def roll_back(config: WorkspaceConfig, endpoint: str, *, force: bool) -> Record:
    """Roll an endpoint's rollout back, without Prefect: the way back must not wait for a server."""
    from saferollout.rollout.rollback import roll_back as way_back

    with repeatable("rollback"):
        return way_back(workspace_of(config, "rollback"), endpoint, force=force)


def release(config: WorkspaceConfig, endpoint: str, *, by: str, comment: str) -> str:
    """End the hold on an endpoint's revision, and return what it was."""
    from saferollout.rollout.hold import release as end_hold

    with repeatable("release"):
        return end_hold(workspace_of(config, "release"), endpoint, by=by, comment=comment)


def rollout_here(config: Path, model: ModelVersion | None, how: Approve, **options: Any) -> Outcome:
    """Run a rollout in this process, with its approvals answered as the user chose; `options` are the flow's.

    An interrupt (Ctrl-C), SIGTERM or SIGHUP rolls back before the command ends, a second one ends it at once. The
    outcome is returned although Prefect's server does not hear of it.
    """
    found = check(config, model)  # before Prefect is even started: mistakes are reported at once
    check_prefect_home()
    watch_steps("run")
    attended = _Attended(config, model, how, **options)
    with interrupts():
        try:
            outcome = _result(attended.result())
        except KeyboardInterrupt:
            raise _rolled_back(found, attended) from None
    if not isinstance(outcome, Outcome):
        msg = f"the rollout ended without a result: {outcome!r}"
        raise SaferolloutError(msg)
    return outcome


@contextlib.contextmanager
def interrupts() -> Iterator[None]:
    """Let SIGTERM (a job is cancelled) and SIGHUP (the terminal is lost) interrupt like Ctrl-C, where not ignored."""

    def interrupt(_signal: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    found = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGHUP)}
    for name, handler in found.items():
        if handler is not signal.SIG_IGN:
            signal.signal(name, interrupt)
    try:
        yield
    finally:
        for name, handler in found.items():
            signal.signal(name, handler)


def _rolled_back(found: Project, attended: "_Attended") -> Refused:
    """Roll back what an interrupted rollout of this process began, never anybody else's, and say so."""
    say("interrupted: rolling back, after the step under way; press Ctrl-C again to end now, without a rollback")
    try:
        attended.stop()
        if not attended.began():
            return Refused("interrupted; nothing was begun")
        threads.join(threads.STEP)
        rolled_back = _roll_back_own(found)
    except KeyboardInterrupt:
        msg = f"interrupted again: not rolled back; `saferollout rollback {found.endpoint}` does it"
        raise SaferolloutError(msg) from None
    except SaferolloutError as error:
        command = f"saferollout rollback --force {found.endpoint}"
        msg = f"interrupted; NOT rolled back: {error}; check the endpoint, then run `{command}`"
        raise NotRolledBack(msg) from error
    end = "rolled back to the baseline" if rolled_back else "there was nothing to roll back"
    return Refused(f"interrupted; {end}")


def _roll_back_own(found: Project) -> bool:
    """Roll back the rollout that this process began; return whether there was one."""
    from saferollout.rollout.rollback import roll_back_own
    from tasks.support.drain import Drain

    here = Owner.here("", in_process=True)

    def is_own(owner: Owner) -> bool:
        return owner.model_copy(update={"flow_run": ""}) == here

    return roll_back_own(workspace_of(found.config.workspace, "run"), found.endpoint, is_own, Drain(found)) is not None


def check(config: Path, model: ModelVersion | None) -> Project:
    """Read and check a config and all it points to, without a call."""
    found = project.load(config, model, sdk=yaml_files)
    check_windows(found, now())
    return found


def submit(request: RolloutRequest, **options: Any) -> dict[str, str]:
    """Start the deployed rollout, whose further `options` are the flow's.

    A config that is named stays a name: the worker has it elsewhere, perhaps on another machine.

    Raises:
        Refused: It is not deployed.
    """
    path = Path(find_config(request.config))
    found = check(path, request.model)
    check_server()
    if str(path) == request.config:
        request = request.model_copy(update={"config": str(path.absolute())})
    with patient():
        made = asyncio.run(_submit(request, options))
    return made | {"endpoint": found.endpoint}


async def _submit(request: RolloutRequest, options: dict[str, Any]) -> dict[str, str]:
    from tasks.support import requests

    run = await requests.submit(request, **options)
    return {"flow_run": str(run.flow_run), "name": run.name, "link": await link_to(run.flow_run)}


async def link_to(run_id: UUID) -> str:
    """The address of a run's page in Prefect's UI."""
    from prefect import get_client

    async with get_client() as client:
        return f"{str(client.api_url).rstrip('/').removesuffix('/api')}/runs/flow-run/{run_id}"


async def ways_to_answer(run_id: UUID) -> str:
    """How somebody else can answer what a run of this process asks; a temporary server has no UI."""
    from prefect import get_client

    command = f"saferollout approve {run_id}"
    if server_url():
        return f"answer at {await link_to(run_id)} (Resume), or with `{command}`"
    async with get_client() as client:
        return f"answer with `PREFECT_API_URL={client.api_url} {command}`"


class _Attended:
    """A rollout in a thread of its own, and somebody who answers its questions.

    Not in the main thread: there Prefect would put its own handlers of signals in the place of the command's.
    """

    def __init__(self, config: Path, model: ModelVersion | None, how: Approve, **options: Any) -> None:
        self._parameters = {"config": str(config), "model": model} | options
        self._how = how
        self._ended: Future[Any] = Future()
        self._loop: asyncio.AbstractEventLoop
        self._body: asyncio.Task[Any] | None = None
        self._body_over = threading.Event()
        self._stopping = threading.Lock()
        self._stopped = False
        self._result: Any = None
        """What the flow's body ended with, whatever Prefect makes of it."""
        self._thread = threading.Thread(target=self._run, name="rollout", daemon=True)

    def result(self) -> Any:
        """Run it and return what it ends with, or the exception; though no Prefect server takes it."""
        self._thread.start()
        return self._ended.result()

    def stop(self) -> None:
        """Let no further step begin; the one under way goes on."""
        with self._stopping:
            self._stopped = True
        if self._body is not None and not self._body_over.is_set():
            self._loop.call_soon_threadsafe(self._body.cancel)
            self._body_over.wait()

    @staticmethod
    def began() -> bool:
        """Whether it was about to change anything."""
        from tasks.support.this_run import began_here

        return began_here()

    def _run(self) -> None:
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        try:
            ended = self._loop.run_until_complete(self._attend())
        except BaseException as error:  # noqa: BLE001  # the main thread, which waits for it, raises it
            ended = error
        finally:
            self._loop.close()
        self._end(ended if self._result is None else self._result)

    def _end(self, result: Any) -> None:
        with contextlib.suppress(InvalidStateError):  # the end is known already
            self._ended.set_result(result)

    def keep(self, body: Any) -> Any:
        """The flow's body, whose end is known a while later at the latest."""

        @functools.wraps(body)
        async def keep(*arguments: Any, **named: Any) -> Any:
            with self._stopping:
                if self._stopped:  # interrupted before it began
                    raise asyncio.CancelledError
                self._body = asyncio.current_task()
            try:
                returned = await body(*arguments, **named)
                self._result = getattr(returned, "data", returned)
            except Exception as error:
                self._result = error
                raise
            finally:
                self._body_over.set()
                timer = threading.Timer(TELL_S, self._end, (self._result,))
                timer.daemon = True
                timer.start()
            return returned

        return keep

    async def _attend(self) -> Any:
        from flows.rollout import rollout
        from saferollout_cli.approvals import asker, attend

        begun: asyncio.Future[UUID] = asyncio.get_running_loop().create_future()

        def note(_flow: Any, flow_run: Any, _state: Any) -> None:
            if not begun.done():
                begun.set_result(flow_run.id)

        hook: Any = note  # Prefect's type of a hook names parameters that this one ignores

        async def answer() -> None:
            run_id = await begun
            ways = await ways_to_answer(run_id)
            console = Console(file=err())
            try:
                await attend(run_id, asker(self._how, console, ways), say)
            except Exception as error:  # noqa: BLE001  # whatever it is, the rollout itself goes on and waits
                why = words_of(error)
                say(f"no answer can be given here ({why}): {ways}")

        answering = asyncio.create_task(answer())
        flow = rollout.with_options(on_running=[hook])
        flow.fn = self.keep(flow.fn)
        try:
            return await _state_of(flow, self._parameters)
        finally:
            answering.cancel()


async def _state_of(flow: Any, parameters: dict[str, Any]) -> Any:
    state = await flow(**parameters, return_state=True)
    return await state.result(raise_on_failure=False)


def _result(result: Any) -> Any:
    if isinstance(result, BaseException):
        raise result
    return result
