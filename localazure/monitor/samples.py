"""What is measured every few seconds: the gateway's connections, and what instances use of this machine."""

import asyncio
import contextlib
import datetime
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from localazure.arm.errors import GatewayError
from localazure.compute.runtime import Runtime
from localazure.core import leash
from localazure.core.clock import Clock
from localazure.core.disk import Disk
from localazure.gateway.envoy import Gateway
from localazure.monitor.traffic import RETENTION, utc_now

PERIOD_S = 5

CONNECTIONS = ("ConnectionsActive", "NewConnectionsPerSecond")
USE = ("CpuUtilizationPercentage", "CpuMemoryUtilizationPercentage", "DiskUtilization")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Series:
    metric: str
    deployment: tuple[str, str] | None = None
    """Endpoint and deployment in lower case; None for the gateway, which all endpoints share."""
    instance: str = ""


@dataclass(frozen=True)
class _Used:
    """What the processes of one instance have used, by process."""

    cpu_s: dict[tuple[int, float], float]
    memory_percent: float


class Samples:
    """Measures while `follow` runs, and keeps what it saw for as long as requests are kept, minute by minute."""

    def __init__(self, gateway: Gateway, runtime: Runtime, disk: Disk, directory: Path, clock: Clock) -> None:
        self._gateway = gateway
        self._runtime = runtime
        self._disk = disk
        self._directory = directory
        self._clock = clock
        self._minutes: dict[datetime.datetime, dict[_Series, list[float]]] = {}
        self._connections: tuple[float, int] | None = None
        self._used: dict[str, tuple[float, _Used]] = {}

    async def follow(self) -> None:
        """Measure until cancelled."""
        while True:
            try:
                await self._measure_connections()
                await self._measure_use()
            except Exception:  # one sample is missing; the next may be better
                log.exception("the machine could not be measured")
            await self._clock.sleep(PERIOD_S)

    def connections(self, metric: str, minute: datetime.datetime) -> list[float]:
        """Return what was measured of all endpoints together, which share a port."""
        return self._minutes.get(minute, {}).get(_Series(metric), [])

    def use(self, metric: str, endpoint: str, deployment: str, minute: datetime.datetime) -> dict[str, list[float]]:
        """Return what was measured in this minute, by instance."""
        key = (endpoint.lower(), deployment.lower())
        return {
            series.instance: values
            for series, values in self._minutes.get(minute, {}).items()
            if series.metric == metric and series.deployment == key
        }

    async def _measure_connections(self) -> None:
        try:
            active, total = await self._gateway.connections()
        except (httpx.HTTPError, GatewayError):  # Envoy is being started again
            self._connections = None
            return
        now, before = self._clock.monotonic(), self._connections
        self._connections = now, total
        active_metric, new_metric = CONNECTIONS
        self._add(_Series(active_metric), active)
        if before and total >= before[1]:
            self._add(_Series(new_metric), (total - before[1]) / (now - before[0]))

    async def _measure_use(self) -> None:
        members = list(self._runtime.members())
        roots = {instance.id: instance.pid for _, instance in members if instance.pid is not None}
        found = await asyncio.to_thread(_used, roots) if roots else {}
        now, before = self._clock.monotonic(), self._used
        self._used = {name: (now, used) for name, used in found.items()}
        disk_percent = await asyncio.to_thread(self._disk.used_percent, self._directory)
        cpu, memory, disk = USE
        for deployment, instance in members:
            self._add(_Series(disk, deployment, instance.id), disk_percent)
            if used := found.get(instance.id):
                self._add(_Series(memory, deployment, instance.id), used.memory_percent)
                if earlier := before.get(instance.id):
                    self._add(_Series(cpu, deployment, instance.id), _cpu_percent(*earlier, now, used))

    def _add(self, series: _Series, value: float) -> None:
        now = utc_now()
        while self._minutes and (oldest := next(iter(self._minutes))) < now - RETENTION:
            del self._minutes[oldest]
        minute = now.replace(second=0, microsecond=0)
        self._minutes.setdefault(minute, {}).setdefault(series, []).append(value)


def _cpu_percent(then: float, before: _Used, now: float, used: _Used) -> float:
    """Return the share of all cores, in percent; what a process used that has ended since is missing."""
    spent_s = sum(cpu_s - before.cpu_s.get(process, 0) for process, cpu_s in used.cpu_s.items())
    return min(100 * spent_s / (now - then) / (psutil.cpu_count() or 1), 100)


def _used(roots: dict[str, int]) -> dict[str, _Used]:
    """Return what the descendants of each root use; a root itself is a leash."""
    children = leash.children()
    memory_bytes = psutil.virtual_memory().total
    found = {}
    for name, root in roots.items():
        cpu_s: dict[tuple[int, float], float] = {}
        resident = 0
        for pid in _descendants(root, children):
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                with process.oneshot():
                    times = process.cpu_times()
                    cpu_s[pid, process.create_time()] = times.user + times.system
                    resident += process.memory_info().rss
        if cpu_s:
            found[name] = _Used(cpu_s, min(100 * resident / memory_bytes, 100))
    return found


def _descendants(pid: int, children: dict[int, list[int]]) -> Iterator[int]:
    for child in children.get(pid, ()):
        yield child
        yield from _descendants(child, children)
