"""One instance of a deployment: a real `azmlinfsrv` process."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from localazure.clock import Clock
from localazure.probes import Probe
from localazure.processes import Process

POLL_S = 0.1
BACKLOG = 2048
STOP_GRACE_S = 10

_LAUNCHER = Path(__file__).with_name("scoring_server.py")


class InstanceFailed(Exception):
    """The server ended, or did not become ready; the message says what its log says."""


@dataclass(frozen=True)
class Setup:
    """What an instance runs: everything that makes one revision of a deployment."""

    python: Path
    entry_script: Path
    app_root: Path
    environment: Mapping[str, str]
    log: Path
    liveness: Probe
    readiness: Probe


class Instance:
    """A running server on a loopback port of its own."""

    def __init__(self, setup: Setup, port: int, process: Process, log_start: int, clock: Clock) -> None:
        self.setup = setup
        self.port = port
        self.draining = False
        self.well = True
        """Whether its readiness probe passes."""
        self._process = process
        self._log_start = log_start
        self._clock = clock

    @classmethod
    async def start(cls, setup: Setup, clock: Clock) -> Instance:
        """Start the server; it is not ready yet (see `ready`)."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        with listener, setup.log.open("ab") as output:
            port = listener.getsockname()[1]
            process = await Process.start(
                [
                    *(setup.python, _LAUNCHER, str(listener.fileno())),
                    *("--entry_script", setup.entry_script, "--port", str(port)),
                ],
                output=output,
                env={**setup.environment, "AML_APP_ROOT": str(setup.app_root)},
                cwd=setup.app_root,
                pass_fds=[listener.fileno()],
                grace_s=STOP_GRACE_S,
            )
            return cls(setup, port, process, output.tell(), clock)

    async def ready(self) -> None:
        """Wait until the server answers its readiness probe. Raises InstanceFailed."""
        exited = asyncio.create_task(self._process.wait())
        probing = asyncio.create_task(self._probe())
        try:
            done, _ = await asyncio.wait(
                {exited, probing}, timeout=self.setup.readiness.patience_s, return_when=asyncio.FIRST_COMPLETED
            )
            if probing in done:
                return probing.result()
            if exited in done:
                raise InstanceFailed(f"the container exited with code {exited.result()}: {self.last_words()}")
            raise InstanceFailed(
                f"the readiness probe did not pass within {self.setup.readiness.patience_s:g} s: {self.last_words()}"
            )
        finally:
            exited.cancel()
            probing.cancel()
            await asyncio.gather(exited, probing, return_exceptions=True)

    @property
    def health(self) -> str:
        """Where its probes ask."""
        return f"http://127.0.0.1:{self.port}/"

    async def hung(self) -> None:
        """Wait until the liveness probe has failed too often."""
        async for well in self.setup.liveness.changes(self.health, self._clock):
            if not well:
                return

    def tell(self, line: str) -> None:
        """Write a line to the deployment's log."""
        with self.setup.log.open("a") as file:
            file.write(line + "\n")

    async def wait(self) -> int:
        """Wait for the server to end; returns its exit code."""
        return await self._process.wait()

    def kill(self) -> None:
        """Kill the server, whatever it is doing."""
        self._process.kill()

    async def stop(self) -> None:
        """Stop the server; requests that it is answering are finished first, within the grace time."""
        await self._process.stop()

    def last_words(self) -> str:
        """The line of this instance's log that tells best why it failed."""
        try:
            with self.setup.log.open("rb") as file:
                file.seek(self._log_start)
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return "(no log)"
        telling = [
            line.strip()
            for line in lines
            if re.match(r"[\w.]*(Error|Exception|Exit|Interrupt)\b", line) and "UserScriptException" not in line
        ]
        written = [line.strip() for line in lines if line.strip()]
        return (telling or written or ["(empty log)"])[-1]

    async def _probe(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=self.setup.readiness.patience_s) as client:
            while True:
                try:
                    # The socket listens before the server runs, so the first probe waits in its queue and is answered
                    # the moment the server is up.
                    if (await client.get(self.health)).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                await self._clock.sleep(POLL_S)
