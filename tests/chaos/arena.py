"""A whole stack whose parts may be killed at any moment, and are started again as systemd would."""

import asyncio
import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import httpx
import psutil

from localazure.chaos import Chaos
from localazure.testing import LocalAzure
from saferollout.azure.client import DRAIN
from saferollout.config.request import CONFIGS
from saferollout.domain.errors import SaferolloutError
from saferollout.domain.fault_points import DONE, FAULTS, Change, Fault, Step, arm
from saferollout_cli.approvals import Reply, answer
from saferollout_cli.demo import processes
from saferollout_cli.demo.processes import Process
from tests.support.forks import fork_server, forked
from tests.support.stack import FINAL, REPOSITORY, Endpoint, Stack, wait_for

EVERY_S = 4
"""How often the guard looks."""
AGAIN_S = 3.0
"""When systemd starts again what died."""
HEARTBEAT_S = 30
AT_WORK = ("RUNNING", "PAUSED", "COMPLETED", "FAILED", "CANCELLED")
"""States of a run that is at work again, or over."""


class Arena:
    """Local Azure, a Prefect server, its worker, the server of processes and the guard."""

    def __init__(self, directory: Path, configs: Path) -> None:
        self.directory = directory
        self.faults = directory / "faults"
        (self.faults / DONE).mkdir(parents=True)
        self.recording = directory / "recording.jsonl"
        self._started = contextlib.ExitStack()
        env = forked(processes.prefect_env(directory), directory) | {
            "SAFEROLLOUT_HOME": str(REPOSITORY),
            FAULTS: str(self.faults),
        }
        env |= {CONFIGS: os.pathsep.join([str(REPOSITORY / "configs"), str(configs)])}
        env |= {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S)}
        self._prefect_env = env
        self.env: dict[str, str] = {}
        self.requests = 0
        """How many requests users have sent."""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._started.close()
            raise
        return self

    def _start(self) -> None:
        self.server = self._keep(processes.prefect_server(self.directory, self._prefect_env, REPOSITORY))
        azure = LocalAzure(self.directory / "azure", "--strict", record=self.recording)
        self.azure = self._started.enter_context(azure)
        self.env = self._prefect_env | azure.environ | {DRAIN: "2"}
        self._keep(fork_server(self.directory, self.env, REPOSITORY))
        self.wait_for_server()
        self.stack = Stack(self.directory, self.env)
        self.stack.cli("setup")
        self.stack.pause_guard()
        for automation in self.stack.api("POST", "/automations/filter", json={}):  # this suite's guard is the only one
            self.stack.api("PATCH", f"/automations/{automation['id']}", json={"enabled": False})
        self.worker = self._keep(processes.prefect_worker(self.directory, self.env, REPOSITORY))
        self.guard = self._start_guard()
        self._guarding = threading.Event()
        watch = threading.Thread(target=self._watch_guard, daemon=True)
        watch.start()
        self._started.callback(watch.join)
        self._started.callback(self._guarding.set)

    def __exit__(self, *_: object) -> None:
        self._started.close()

    def _keep(self, process: Process) -> Process:
        return self._started.enter_context(process)

    def wait_for_server(self) -> None:
        """Until Prefect's server answers."""
        self.server.wait_until(processes.healthy(self._prefect_env["PREFECT_API_URL"]), processes.START_S)

    # what dies

    def _start_guard(self) -> Process:
        command = self.stack.command("guard", "--every", str(EVERY_S), "--json")
        return self._keep(Process("guard", command, self.env, self.directory, REPOSITORY))

    def _watch_guard(self) -> None:
        while not self._guarding.wait(1):
            if not self.guard.running():
                time.sleep(AGAIN_S)
                self.guard = self._start_guard()

    def kill_server(self, away_s: float) -> None:
        """The Prefect server, which comes back some seconds later with the same database."""
        self._kill(self.server)
        time.sleep(away_s)
        self.server = self._keep(processes.prefect_server(self.directory, self._prefect_env, REPOSITORY))
        self.wait_for_server()

    def kill_worker(self) -> None:
        """The worker with the processes of its runs; it comes back, and they do not."""
        self._kill(self.worker)
        time.sleep(AGAIN_S)
        self.worker = self._keep(processes.prefect_worker(self.directory, self.env, REPOSITORY))

    @contextlib.contextmanager
    def no_management(self) -> Iterator[None]:
        """Azure's management is away: every connection to it is reset. The gateway serves."""
        with contextlib.closing(Chaos(self.env)) as chaos, chaos.reset(times=None, path="onlineEndpoints/**"):
            yield

    @staticmethod
    def _kill(process: Process) -> None:
        leash = psutil.Process(process._popen.pid)  # noqa: SLF001  # no user needs to
        for victim in [leash, *leash.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()

    def arm(self, what: Change | Step, where: str, fault: Fault = Fault.KILL, *, skip: int = 0) -> None:
        """Let whoever gets there be killed, behind so many who are let through."""
        for _ in range(skip):
            arm(self.faults, what, where, Fault.PASS)
        arm(self.faults, what, where, fault)

    def struck(self) -> list[tuple[str, float]]:
        """The points at which somebody was killed, and when."""
        done = [path for path in (self.faults / DONE).iterdir() if path.read_text().startswith("kill")]
        return sorted(((path.name.partition(" ")[2], path.stat().st_ctime) for path in done), key=lambda kill: kill[1])

    def disarm(self) -> list[str]:
        """Take away the faults that have not struck, and return their points; forget those that have."""
        left = [path for path in self.faults.iterdir() if path.is_file()]
        for path in [*left, *(self.faults / DONE).iterdir()]:
            path.unlink()
        return [path.name.partition(" ")[2] for path in left]


@dataclass
class Watched:
    """A rollout that is watched to its end; its questions are answered as they come."""

    arena: Arena
    endpoint: Endpoint
    run: str
    answers: Counter[str] = field(default_factory=Counter)
    """How often each question was answered."""
    state: dict[str, Any] = field(default_factory=dict)

    def until_final(self, limit_s: float) -> str:
        """Answer and wait; return the name of the state in which the run ended."""

        def look() -> str | None:
            with contextlib.suppress(httpx.HTTPError):
                self.state = self.arena.stack.run(self.run)
                name = str(self.state["state_name"])
                if name in ("Suspended", "Paused"):
                    self._answer()
                if name in FINAL and (name == "Completed" or self.is_clear()):
                    return name
            return None

        return wait_for("the end", look, limit_s)

    def answer_when_asked(self) -> None:
        """Wait for the first question and answer it."""

        def look() -> bool | None:
            with contextlib.suppress(httpx.HTTPError):
                name = self.arena.stack.run(self.run)["state_name"]
                assert name not in FINAL, name
                if name in ("Suspended", "Paused"):
                    self._answer()
            return bool(self.answers) or None

        wait_for("a question", look)

    def back_after(self, at: float) -> float:
        """How many seconds after a moment a process was at work on the run again, or it had ended."""
        states = self.arena.stack.api("GET", f"/flow_run_states/?flow_run_id={self.run}")
        moments = sorted(_seconds(state["timestamp"]) for state in states if state["type"] in AT_WORK)
        later = [moment for moment in moments if moment > at]
        return (later[0] if later else time.time()) - at

    def is_clear(self) -> bool:
        """Whether nothing of the rollout is left on the endpoint."""
        return "saferollout.rollout" not in self.endpoint.state().tags

    def _answer(self) -> None:
        with contextlib.suppress(SaferolloutError, httpx.HTTPError):
            reply = Reply(decision="approve", approver="Ada")
            question = asyncio.run(answer(UUID(self.run), reply))
            self.answers[question.title] += 1

    def restarts_after(self) -> list[tuple[str, float]]:
        """For each kill, how long until a process was at work on the run again, or it had ended."""
        return [(point, self.back_after(at)) for point, at in self.arena.struck()]


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
