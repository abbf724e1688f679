"""The demo's processes: each on a leash, so that none outlives the demo, however that ends."""

import contextlib
import json
import operator
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import certifi
import httpx
import psutil
import tenacity

from localazure.core import leash
from localazure.core.certificates import trusting_only
from saferollout.domain.errors import SaferolloutError
from saferollout_cli.setup import POOL

POLL_S = 0.2
_SITE = Path(__file__).with_name("site")
"""What Python does first in each of them, unless the user has something of the kind."""
_END = "-----END CERTIFICATE-----\n"
RETRAIN = Path("examples", "retrain", "retrain.py")
START_S = 120.0
"""How long a process may take to start on a busy machine."""


class DemoFailed(SaferolloutError):
    """A part of the demo did not start or work; the text names its log."""

    exit_code = 3


class Process:
    """A command in the background, its output in a log file (or its standard output in a pipe)."""

    def __init__(
        self, name: str, command: Sequence[str], env: dict[str, str], state_dir: Path, cwd: Path, *, pipe: bool = False
    ) -> None:
        self.name = name
        self.log = state_dir / f"{name}.log"
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(  # noqa: S603  # the demo's own commands
                leash.command(*command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if pipe else log,
                stderr=log,
                env=env,
                cwd=cwd,
                text=True,
                start_new_session=True,
            )

    @property
    def lines(self) -> IO[str]:
        """The standard output of a process with a pipe."""
        if self._popen.stdout is None:
            msg = f"{self.name} has no pipe"
            raise ValueError(msg)
        return self._popen.stdout

    def first_line(self, timeout_s: float, purpose: str = "start") -> str:
        """Wait for the first line of its standard output, which shows that it served its purpose.

        Raises:
            DemoFailed: It ended before, or the time is up: then it is stopped.
        """
        ready, _, _ = select.select([self.lines], [], [], timeout_s)
        if ready and (line := self.lines.readline()):
            return line
        self.kill()
        raise self.failed(f"did not {purpose}" if ready else f"did not {purpose} within {timeout_s:.0f} s")

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._popen.poll() is None

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Poll until `ready`.

        Raises:
            DemoFailed: The process ended before, or the time is up.
        """
        looking = tenacity.Retrying(
            retry=tenacity.retry_if_result(operator.not_),
            wait=tenacity.wait_fixed(POLL_S),
            stop=lambda state: not self.running() or tenacity.stop_after_delay(timeout_s)(state),
        )
        try:
            looking(ready)
        except tenacity.RetryError:
            raise self.failed("did not start") from None

    def failed(self, what: str) -> DemoFailed:
        """The failure of this process, with the end of its log."""
        tail = self.log.read_text(errors="replace").strip().splitlines()[-5:]
        return DemoFailed(f"{self.name} {what}; the end of its log ({self.log}):\n  " + "\n  ".join(tail))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe:
                pipe.close()

    def kill(self) -> int:
        """End it at once, with all that it started; return how many processes that were, its leash among them.

        The death of the leash alone ends nothing that belongs to another user.
        """
        return kill_tree(self._popen.pid)

    def stop(self) -> None:
        """Let go of the leash and wait for the end."""
        self._popen.terminate()
        self._popen.wait()


def kill_tree(pid: int) -> int:
    """End a process at once, with all that it has started; return how many processes that were."""
    root = psutil.Process(pid)
    victims = [root, *root.children(recursive=True)]
    for victim in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
    return len(victims)


def local_azure(state_dir: Path, env: dict[str, str], cwd: Path) -> tuple[Process, dict[str, str]]:
    """Start local Azure; return it with the environment that leads to it."""
    command = [sys.executable, "-m", "localazure", "up", "--json", "--state-dir", str(state_dir / "azure")]
    process = Process("local-azure", command, env, state_dir, cwd, pipe=True)
    return process, trusting_only(json.loads(process.first_line(START_S)))


def one_root(directory: Path) -> Path:
    """Write a file with one of the roots that clients trust; return its path.

    Each of Prefect's clients reads them all anew, which takes half of a flow run's CPU time: plain HTTP needs none, so
    that one is enough.
    """
    root = directory / "prefect-root.pem"
    first, end, _ = Path(certifi.where()).read_text(encoding="ascii", errors="ignore").partition(_END)
    root.write_text(first + end, encoding="ascii")
    return root


def prefect_env(state_dir: Path) -> dict[str, str]:
    """The environment of a Prefect of the demo's own: the user's profile and server stay out of it."""
    port = free_port()
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
        "PREFECT_HOME": str(state_dir / "prefect"),
        "PREFECT_PROFILES_PATH": str(state_dir / "prefect" / "profiles.toml"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_API_SSL_CERT_FILE": str(one_root(state_dir)),
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false",  # else each client asks this server, which has none, for it
        "DO_NOT_TRACK": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(_SITE)])),
    }


def prefect_server(state_dir: Path, env: dict[str, str], cwd: Path) -> Process:
    """Start a Prefect server; it is ready when its health page answers."""
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    return Process("prefect-server", command, env, state_dir, cwd)


def prefect_worker(state_dir: Path, env: dict[str, str], cwd: Path) -> Process:
    """Start a worker for the flows that `saferollout setup` has put on the server."""
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL]
    return Process("prefect-worker", command, env, state_dir, cwd)


def healthy(api_url: str) -> Callable[[], bool]:
    """Whether a Prefect server answers."""
    client = httpx.Client(timeout=2, limits=httpx.Limits(max_keepalive_connections=0))  # one, for to make it takes long

    def check() -> bool:
        try:
            return client.get(f"{api_url}/health").status_code == 200
        except httpx.HTTPError:
            return False

    return check


def users(arguments: dict[str, Any], state_dir: Path, env: dict[str, str], cwd: Path) -> Process:
    """Start the users' traffic; it prints its counts as JSON lines."""
    command = [sys.executable, "-m", "saferollout_cli.demo.users", json.dumps(arguments)]
    return Process("users", command, env, state_dir, cwd, pipe=True)


def retraining(endpoint: str, state_dir: Path, env: dict[str, str], cwd: Path) -> Process:
    """Start the retraining; it prints in a line what it has done, at its end."""
    command = [sys.executable, str(cwd / RETRAIN), endpoint]
    return Process("retraining", command, env, state_dir, cwd, pipe=True)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
