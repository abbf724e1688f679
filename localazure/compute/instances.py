"""One instance of a deployment: a server process or a container."""

import asyncio
import contextlib
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from localazure.arm.errors import InstanceFailed
from localazure.compute.probes import Probe
from localazure.core.clock import Clock
from localazure.core.processes import Process

STOP_GRACE_S = 10

_WRAPPED = r"[\w.]*UserScript\w*(Exception|Error)"
"""What the inference server makes of a script's own exception, which comes before it in the log."""


@dataclass(frozen=True)
class Address:
    """Where an instance is scored, and where its probes ask; on loopback."""

    port: int
    liveness: str
    readiness: str


@dataclass(frozen=True)
class Started:
    """What has been started; `address` waits until it is known."""

    process: Process
    address: Callable[[], Awaitable[Address]]
    measurable: bool = True
    """Whether the server is `process` and its descendants, and not somewhere in a container engine."""


class Program(Protocol):
    """What an instance runs; equal programs make equal instances."""

    @property
    def scored_at(self) -> str:
        """The path that it is scored at."""

    @property
    def hint(self) -> str:
        """What to say when it fails: a sentence with a space before it, or nothing."""

    async def start(self, log: Path, clock: Clock) -> Started:
        """Start it, its output to `log`."""


@dataclass(frozen=True)
class Setup:
    """Everything that makes one revision of a deployment; its files are below `folder`."""

    program: Program
    folder: Path
    log: Path
    liveness: Probe
    readiness: Probe
    startup: Probe | None = None
    """Until it passes, the others are not tried."""


class Instance:
    """A running server on a loopback port of its own."""

    def __init__(self, setup: Setup, started: Started, log_start: int, clock: Clock) -> None:
        self.setup = setup
        self.id = secrets.token_hex(8)
        self.draining = False
        self.well = True
        """Whether its readiness probe passes."""
        self._process = started.process
        self._measurable = started.measurable
        self._locate = started.address
        self._address: Address | None = None
        self._log_start = log_start
        self._clock = clock

    @classmethod
    async def start(cls, setup: Setup, clock: Clock) -> Self:
        """Start the server.

        Returns:
            The instance, which is not ready yet (see `ready`).
        """
        log_start = setup.log.stat().st_size if setup.log.exists() else 0
        return cls(setup, await setup.program.start(setup.log, clock), log_start, clock)

    async def ready(self) -> None:
        """Wait until the server answers its startup probe, if it has one, and then its readiness probe.

        Raises:
            InstanceFailed: It ended, or does not answer in time.
        """
        exited = asyncio.create_task(self._process.wait())
        try:
            if self.setup.startup:
                await self._pass("startup", self.setup.startup, exited)
            await self._pass("readiness", self.setup.readiness, exited)
        finally:
            exited.cancel()
            await asyncio.gather(exited, return_exceptions=True)

    async def _pass(self, name: str, probe: Probe, exited: asyncio.Task[int]) -> None:
        probing = asyncio.create_task(self._probe(name, probe))
        try:
            done, _ = await asyncio.wait(
                {exited, probing}, timeout=probe.patience_s, return_when=asyncio.FIRST_COMPLETED
            )
            if probing in done:
                return probing.result()
            if exited in done:
                raise InstanceFailed(f"the container exited with code {exited.result()}: {self.last_words()}")
            raise InstanceFailed(f"the {name} probe did not pass within {probe.patience_s:g} s: {self.last_words()}")
        finally:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)

    @property
    def address(self) -> Address:
        """Where it is asked.

        Raises:
            RuntimeError: It has not been ready.
        """
        if self._address is None:
            raise RuntimeError("the instance has not been ready")
        return self._address

    @property
    def pid(self) -> int | None:
        """The process whose descendants are the server; None where they cannot be known."""
        return self._process.pid if self._measurable else None

    async def hung(self) -> None:
        """Wait until the liveness probe has failed too often."""
        async for well in self.setup.liveness.changes(self.address.liveness, self._clock):
            if not well:
                return

    def log_line(self, line: str) -> None:
        """Write a line to the deployment's log, where there is space for it."""
        with contextlib.suppress(OSError), self.setup.log.open("a") as file:
            file.write(line + "\n")

    async def wait(self) -> int:
        """Wait for the server to end.

        Returns:
            Its exit code.
        """
        return await self._process.wait()

    def kill(self) -> None:
        """Kill the server, whatever it is doing."""
        self._process.kill()

    async def stop(self) -> None:
        """Stop the server; requests that it is answering are finished first, within the grace time."""
        await self._process.stop()

    def last_words(self) -> str:
        """Return the line of this instance's log that says best why it failed."""
        try:
            with self.setup.log.open("rb") as file:
                file.seek(self._log_start)
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return "(no log)"
        telling = [
            line.strip()
            for line in lines
            if re.match(r"[\w.]*(Error|Exception|Exit|Interrupt)\b", line) and not re.match(_WRAPPED, line)
        ]
        written = [line.strip() for line in lines if line.strip()]
        return (telling or written or ["(empty log)"])[-1]

    async def _probe(self, name: str, probe: Probe) -> None:
        address = self._address = await self._locate()
        url = address.readiness if name == "readiness" else address.liveness
        await probe.pass_once(url, self._clock)
