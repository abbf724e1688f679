"""A whole stack whose parts may be killed at any moment, and are started again as systemd would."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from localazure.chaos import Chaos
from localazure.core.certificates import trusting_only
from localazure.core.web import reserve
from localazure.testing import LocalAzure
from saferollout.azure.client import DRAIN
from saferollout.config.request import CONFIGS
from saferollout.domain.fault_points import DONE, FAULTS, AzureChange, Fault, Step, arm
from saferollout_cli.demo import processes
from saferollout_cli.demo.processes import Process
from tests.support.forks import forked
from tests.support.stack import REPOSITORY, UNSCHEDULED, Stack, wait_for

EVERY_S = 4
"""How often the guard looks."""
AGAIN_S = 3.0
"""When systemd starts again what died."""
HEARTBEAT_S = 30
RUN = "PREFECT__FLOW_RUN_ID"
"""The variable by which the process of a flow run knows which it is."""
GUARD = "CHAOS_GUARD"
"""Set for the guard's process alone."""


@dataclass(frozen=True)
class Kill:
    """Somebody who was killed at a fault point."""

    point: str
    at: float
    run: str
    """The flow run whose process it was; empty for the guard."""


class Arena:
    """Local Azure, a Prefect server, its worker and the guard."""

    def __init__(self, directory: Path, configs: Path, forks: str) -> None:
        self.directory = directory
        self.faults = directory / "faults"
        (self.faults / DONE).mkdir(parents=True)
        self.recording = directory / "recording.jsonl"
        self._started = contextlib.ExitStack()
        env = forked(processes.prefect_env(directory), forks) | UNSCHEDULED
        env |= {"SAFEROLLOUT_HOME": str(REPOSITORY), FAULTS: str(self.faults)}
        env |= {CONFIGS: os.pathsep.join([str(REPOSITORY / "configs"), str(configs)])}
        env |= {"PREFECT_WORKER_QUERY_SECONDS": "3"}  # each query costs a server 18 ms
        env |= {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S)}
        self._prefect_env = env
        self.env: dict[str, str] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._started.close()
            raise
        return self

    def _start(self) -> None:
        self._started.enter_context(reserve("127.0.0.1", int(self._prefect_env["PREFECT_SERVER_API_PORT"])))
        self.server = self._keep(processes.prefect_server(self.directory, self._prefect_env, REPOSITORY))
        azure = LocalAzure(self.directory / "azure", "--strict", record=self.recording)
        self.azure = self._started.enter_context(azure)
        self.env = self._prefect_env | trusting_only(azure.environ) | {DRAIN: "2"}
        self.wait_for_server()
        self.stack = Stack(self.directory, self.env)
        self.stack.cli("setup")
        for automation in self.stack.api("POST", "/automations/filter", json={}):  # this suite's guard is the only one
            self.stack.api("PATCH", f"/automations/{automation['id']}", json={"enabled": False})
        self.start_worker()
        self.guard = self._start_guard()
        self.guarded: list[tuple[float, float]] = []
        """When a guard was found dead, and when the next one had looked."""
        self._guarding = threading.Event()
        watching = self._started.enter_context(ThreadPoolExecutor(1)).submit(self._watch_guard)
        self._started.callback(watching.result)  # raises what has ended it

    def __exit__(self, *_: object) -> None:
        self._guarding.set()  # from now on what ends is not started again
        self._started.close()

    def _keep(self, process: Process) -> Process:
        return self._started.enter_context(process)

    def wait_for_server(self) -> None:
        """Until Prefect's server answers."""
        self.server.wait_until(processes.healthy(self._prefect_env["PREFECT_API_URL"]), processes.START_S)

    # what dies

    def _start_guard(self) -> Process:
        command = self.stack.command("guard", "--every", str(EVERY_S), "--json")
        return self._keep(Process("guard", command, self.env | {GUARD: "yes"}, self.directory, REPOSITORY))

    def _watch_guard(self) -> None:
        """Start the guard again as often as it dies, and the worker where it ends by itself."""
        died, size = 0.0, 0
        while not self._guarding.wait(0.5):
            if self._has_worker and not self.worker.running():  # it ends where it finds no server
                self.start_worker()
            if not self.guard.running():
                died = died or time.time()
                time.sleep(AGAIN_S)
                size = self.guard.log.stat().st_size
                self.guard = self._start_guard()
            elif died and self.guard.log.stat().st_size > size:
                self.guarded.append((died, time.time()))
                died = 0.0

    def _start_worker(self) -> Process:
        return self._keep(processes.prefect_worker(self.directory, self.env, REPOSITORY))

    def kill_server(self) -> None:
        """The Prefect server."""
        self.server.kill()

    def start_server(self) -> None:
        """The Prefect server again, with the same database."""
        self.server = self._keep(processes.prefect_server(self.directory, self._prefect_env, REPOSITORY))
        self.wait_for_server()

    def kill_worker(self) -> None:
        """The worker with the processes of its runs."""
        self._has_worker = False
        self.worker.kill()

    def kill_worker_alone(self) -> None:
        """The worker, which is started again as soon as that is seen; the processes of its runs live."""
        wait_for("the worker's program", self._worker_program).kill()

    def _worker_program(self) -> psutil.Process | None:
        """The process that is forked for the worker: of all such, it has the worker's log open."""
        for found in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                files = [file.path for file in found.open_files()]
                if "tests.support.forks" in found.cmdline() and str(self.worker.log) in files:
                    return found
        return None

    def start_worker(self) -> None:
        """The worker again; the processes of its runs do not come back with it."""
        self.worker = self._start_worker()
        self._has_worker = True

    @contextlib.contextmanager
    def no_management(self) -> Iterator[None]:
        """Azure's management is away: every connection to it is reset. The gateway serves."""
        with contextlib.closing(Chaos(self.env)) as chaos, chaos.reset(times=None, path="onlineEndpoints/**"):
            yield

    def kill_control_plane(self, away_s: float) -> None:
        """What manages Azure, with all operations under way; it comes back. The gateway serves."""
        with contextlib.closing(Chaos(self.env)) as chaos:
            chaos.crash(away_s)

    def arm(self, what: AzureChange | Step, where: str, run: str) -> None:
        """Let the process of this flow run be killed there; without one, the guard."""
        arm(self.faults, what, where, Fault.KILL, only=(RUN, run) if run else (GUARD, "yes"))

    def kills(self) -> list[Kill]:
        """Those who were killed at fault points, in order."""
        found = []
        for path in (self.faults / DONE).iterdir():
            _, _, run = path.read_text().partition(f"{RUN}=")
            found.append(Kill(path.name.partition(" ")[2], path.stat().st_ctime, run.strip()))
        return sorted(found, key=lambda kill: kill.at)

    def left(self) -> list[str]:
        """The points at which faults wait that have not struck."""
        return [path.name.partition(" ")[2] for path in self.faults.iterdir() if path.is_file()]

    def forget(self) -> None:
        """Those that have struck."""
        for path in (self.faults / DONE).iterdir():
            path.unlink()

    def guard_back_after(self, at: float) -> float | None:
        """How long after its death at this moment a guard had looked again."""
        return next((back - at for died, back in self.guarded if died + 1 > at), None)
