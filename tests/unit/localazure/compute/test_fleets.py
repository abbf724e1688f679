"""Instances that do not come to be, at least at first."""

import asyncio
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import pytest

from localazure.arm.errors import InstanceFailed
from localazure.compute.fleets import Fleet
from localazure.compute.instances import Address, Setup, Started
from localazure.compute.probes import Probe
from localazure.core.clock import Clock
from localazure.core.processes import Process


async def nothing() -> None:
    """There is no gateway."""


async def idle(_port: int) -> int:
    """No request is under way."""
    return 0


@dataclass(frozen=True)
class Short:
    """A program of which this machine can bear one instance."""

    scored_at: str = "/"
    hint: str = ""
    running: list[Process] = field(default_factory=list, compare=False)

    async def start(self, log: Path, clock: Clock) -> Started:  # noqa: ARG002 - it is never ready
        """Start the first; refuse the second."""
        if self.running:
            raise OSError("no more")
        argv = [sys.executable, "-c", "import time; time.sleep(600)"]
        self.running.append(await Process.start(argv, output=asyncio.subprocess.DEVNULL, grace_s=0.1))

        async def address() -> Address:
            return Address(1, "http://127.0.0.1:1/", "http://127.0.0.1:1/")

        return Started(self.running[0], address)


async def test_an_instance_that_cannot_be_started_leaves_no_other_behind(tmp_path: Path) -> None:
    """Those that were started before it are stopped."""
    program, probe = Short(), Probe()
    fleet = Fleet("shop/blue", nothing, idle, Clock())
    try:
        with pytest.raises(OSError, match="no more"):
            await fleet.shape(Setup(program, tmp_path, tmp_path / "log", probe, probe), 2, 1)
        assert program.running[0].returncode is not None
        assert not psutil.pid_exists(program.running[0].pid)
    finally:
        await program.running[0].stop()


_SERVER = """
from http.server import HTTPServer, SimpleHTTPRequestHandler
server = HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@dataclass(frozen=True)
class Faltering:
    """A program whose second instance this machine cannot bear, and whose third it can."""

    scored_at: str = "/"
    hint: str = ""
    asked: list[Path] = field(default_factory=list, compare=False)

    async def start(self, log: Path, clock: Clock) -> Started:
        """Start a server, or not."""
        port_file = log.with_suffix(f".{len(self.asked)}")
        self.asked.append(port_file)
        if len(self.asked) == 2:
            raise OSError("not now")
        with port_file.open("wb") as output:
            process = await Process.start([sys.executable, "-c", _SERVER], output=output, cwd=log.parent, grace_s=0.1)

        async def address() -> Address:
            while not (port := port_file.read_text().partition("\n")[0]):
                await clock.sleep(0.05)
            return Address(int(port), f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{port}/")

        return Started(process, address)


async def test_an_instance_that_cannot_be_started_at_once_is_started_later(tmp_path: Path) -> None:
    """One that died is replaced, even where the first attempt does not get as far as a process; events say so."""
    program, probe, clock = Faltering(), Probe(), Clock()
    names: list[str] = []
    fleet = Fleet("shop/blue", nothing, idle, clock, lambda _instance, what: names.append(what[0]))
    try:
        await fleet.shape(Setup(program, tmp_path, tmp_path / "log", probe, probe), 1, 1)
        (first,) = fleet.instances
        assert fleet.kill(1) == 1
        async with asyncio.timeout(30):
            while first in fleet.instances or not fleet.instances:
                await clock.sleep(0.05)
        assert len(program.asked) == 3
        assert names == ["Created", "Started", "BackOff", "Created", "Started"]
    finally:
        await fleet.stop()


@dataclass(frozen=True)
class Late:
    """A program that answers only after some seconds."""

    scored_at: str = "/"
    hint: str = ""

    async def start(self, log: Path, clock: Clock) -> Started:
        """Start the server."""
        port_file = log.with_suffix(".port")
        code = f"import time; time.sleep(3)\n{_SERVER}"
        with port_file.open("wb") as output:
            process = await Process.start([sys.executable, "-c", code], output=output, cwd=log.parent, grace_s=0.1)

        async def address() -> Address:
            while not (port := port_file.read_text().partition("\n")[0]):
                await clock.sleep(0.05)
            return Address(int(port), f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{port}/")

        return Started(process, address)


@pytest.mark.slow
async def test_until_the_startup_probe_passes_the_readiness_probe_is_not_tried(tmp_path: Path) -> None:
    """One that is too hasty for the server fails alone, and passes after a patient one."""
    hasty, patient = Probe(initial_delay_s=0, period_s=2, failure_threshold=1), Probe()
    setup = Setup(Late(), tmp_path, tmp_path / "log", patient, hasty)
    fleet = Fleet("shop/blue", nothing, idle, Clock())
    try:
        with pytest.raises(InstanceFailed, match="readiness probe did not pass within 2 s"):
            await fleet.shape(setup, 1, 1)
        await fleet.shape(replace(setup, startup=patient), 1, 1)
        assert len(fleet.instances) == 1
    finally:
        await fleet.stop()
