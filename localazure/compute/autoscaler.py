"""Scale settings that take effect: a Kubernetes deployment follows its load."""

import asyncio
import logging
import math
from dataclasses import dataclass
from typing import Self

from localazure.arm.durations import duration_s
from localazure.arm.errors import InstanceFailed
from localazure.compute.fleets import Fleet
from localazure.compute.properties import DefaultScale, RequestSettings, TargetUtilization
from localazure.core.clock import Clock

LOOKS_BEFORE_SCALING_IN = 3
"""Load that falls must stay low for so many looks; load that rises is answered at once."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scaling:
    """Between how many instances, and how busy each shall be."""

    least: int
    most: int
    period_s: float
    requests_per_instance: float
    """How many requests an instance works on when it is as busy as it shall be."""

    @classmethod
    def parse(cls, scale: DefaultScale | TargetUtilization, requests: RequestSettings) -> Self | None:
        """Return what a deployment's settings say; None where the number of instances is fixed."""
        if not isinstance(scale, TargetUtilization):
            return None
        concurrent = requests.max_concurrent_requests_per_instance
        return cls(
            least=scale.min_instances,
            most=scale.max_instances,
            period_s=duration_s(scale.polling_interval),
            requests_per_instance=concurrent * scale.target_utilization_percentage / 100,
        )

    def within(self, count: int) -> int:
        """Return the allowed number of instances that is nearest to `count`."""
        return min(self.most, max(self.least, count))

    def wanted(self, requests: int) -> int:
        """Return how many instances `requests` at once ask for."""
        return self.within(math.ceil(requests / self.requests_per_instance))


class Autoscaler:
    """Resizes a fleet for as long as it is started."""

    def __init__(self, fleet: Fleet, scaling: Scaling, clock: Clock) -> None:
        self.scaling = scaling
        self._fleet = fleet
        self._clock = clock
        self._quiet = 0
        self._resizing = asyncio.Lock()
        self._task = asyncio.create_task(self._run(), name=f"autoscaler of {fleet.name}")

    async def stop(self) -> None:
        """Stop; a change of size that is under way is finished first."""
        async with self._resizing:
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def cancel(self) -> None:
        """Stop at once, whatever is under way: the fleet is going to be stopped, too."""
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(self.scaling.period_s)
            try:
                await self._look()
            except InstanceFailed as error:
                log.warning("%s stays at %s instances: %s", self._fleet.name, self._fleet.count, error)
            except Exception:  # it must not die of a gateway that is being restarted
                log.exception("%s could not be scaled", self._fleet.name)

    async def _look(self) -> None:
        wanted = self.scaling.wanted(await self._fleet.requests_under_way())
        self._quiet = self._quiet + 1 if wanted < self._fleet.count else 0
        if wanted > self._fleet.count or self._quiet >= LOOKS_BEFORE_SCALING_IN:
            self._quiet = 0
            log.info("%s goes from %s to %s instances", self._fleet.name, self._fleet.count, wanted)
            async with self._resizing:
                await self._fleet.resize(wanted)
