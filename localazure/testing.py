"""Local Azure for tests: a real `localazure up`, started and ended around a block."""

import contextlib
import json
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from localazure.arm.errors import LocalAzureError
from localazure.chaos import Chaos
from localazure.core import leash
from localazure.core.certificates import trusting_only
from localazure.core.clock import Timing

__all__ = ["LocalAzure", "NotReady"]

READY_TIMEOUT_S = 60
STOP_TIMEOUT_S = 20


class NotReady(LocalAzureError):
    """`localazure up` did not become ready; the message has the end of what it wrote."""


class LocalAzure:
    """`with LocalAzure() as azure:` runs a local Azure for the block; `azure.environ` is what its clients need.

    It lives in a subprocess that dies with this process. Without a `state_dir` it uses a temporary directory, which is
    deleted afterwards; a given one is kept. Further `options` are those of `localazure up`.
    """

    def __init__(
        self,
        state_dir: Path | None = None,
        *options: str,
        timing: Timing | str = Timing.FAST,
        time_scale: float = 1,
        record: Path | None = None,
    ) -> None:
        self.environ: dict[str, str] = {}
        self._given = state_dir
        recording = ("--record", str(record)) if record else ()
        self._options = ("--timing", Timing(timing).value, "--time-scale", str(time_scale), *recording, *options)
        self._process: subprocess.Popen[str] | None = None
        self._stderr: IO[str] | None = None
        self.state_dir = state_dir or Path()
        self._chaos: Chaos | None = None

    @property
    def chaos(self) -> Chaos:
        """What can be made to go wrong in it.

        Raises:
            NotReady: It has not been started.
        """
        if self._chaos is None:
            raise NotReady("local Azure has not been started")
        return self._chaos

    @property
    def pid(self) -> int:
        """The process that holds everything else on its leash; when it dies, all of local Azure does.

        Raises:
            NotReady: It has not been started.
        """
        if self._process is None:
            raise NotReady("local Azure has not been started")
        return self._process.pid

    def __enter__(self) -> Self:
        self.state_dir = self._given or Path(tempfile.mkdtemp(prefix="localazure-"))
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End local Azure and all that it started."""
        process, self._process = self._process, None
        if self._chaos:
            self._chaos.close()
            self._chaos = None
        if process:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_S)
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()
        if self._stderr:
            self._stderr.close()
            self._stderr = None
        if self._given is None:
            shutil.rmtree(self.state_dir, ignore_errors=True)

    def log(self, lines: int = 30) -> str:
        """Return the end of what local Azure wrote to stderr and to its log."""
        parts = []
        for name in ("stderr.log", "localazure.log"):
            path = self.state_dir / name
            if path.exists():
                parts.append(f"--- {name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-lines:]))
        return "\n".join(parts) or "(it wrote nothing)"

    def _start(self) -> None:
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self._stderr = (self.state_dir / "stderr.log").open("w")
        # by itself and not by the demo's runner: who tests against local Azure needs no command line of the rollout
        argv = [sys.executable, "-m", "localazure", "up", "--json", "--state-dir", str(self.state_dir), *self._options]
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            leash.command(*argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, text=True
        )
        line = self._first_line(self._process)
        if not line:
            self._process.wait()
            raise NotReady(f"localazure up ended with code {self._process.returncode}:\n{self.log()}")
        self.environ = json.loads(line)
        self._chaos = Chaos(trusting_only(self.environ))

    def _first_line(self, process: subprocess.Popen[str]) -> str:
        if process.stdout is None:
            raise NotReady("localazure up has no output")
        deadline = time.monotonic() + READY_TIMEOUT_S
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(max(0, deadline - time.monotonic())):
                raise NotReady(f"localazure up was not ready within {READY_TIMEOUT_S} s:\n{self.log()}")
        return process.stdout.readline()
