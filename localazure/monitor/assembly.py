"""What was measured, and how it is asked for, put together."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from starlette.routing import Route

from localazure.arm.assembly import Arm
from localazure.compute.runtime import Runtime
from localazure.core.clock import Clock
from localazure.gateway.envoy import Gateway
from localazure.monitor.autoscale_settings import AutoscaleSettings
from localazure.monitor.log_analytics import LogAnalytics
from localazure.monitor.metrics import Inventory, Metrics
from localazure.monitor.samples import Samples
from localazure.monitor.traffic import Request, Traffic


@dataclass(frozen=True)
class Monitor:
    """The traffic, the samples, and Azure Monitor's two services on them; and its autoscale settings."""

    traffic: Traffic
    samples: Samples
    metrics: Metrics
    log_analytics: LogAnalytics
    autoscale_settings: AutoscaleSettings

    @classmethod
    def build(
        cls,
        arm: Arm,
        state: Path,
        gateway: Gateway,
        runtime: Runtime,
        inventory: Inventory,
        ingestion_delay_s: float,
        count: Callable[[Request], None],
    ) -> Self:
        """Put it together; `count` is called with each scoring request that is logged from now on.

        Returns:
            All of it.
        """
        traffic = Traffic(gateway.access_log, ingestion_delay_s, count=count)
        samples = Samples(gateway, runtime, arm.disk, state, arm.clock)
        metrics = Metrics(traffic, samples, inventory, arm.scope, arm.location)
        log_analytics = LogAnalytics(traffic, runtime.events, arm.identity, arm.scope)
        return cls(traffic, samples, metrics, log_analytics, AutoscaleSettings(arm.store, arm.scope, arm.location))

    def works(self, gateway: Gateway, clock: Clock) -> list[Coroutine[Any, Any, None]]:
        """Return what must go on all the time."""
        return [self.samples.follow(), self.traffic.follow(gateway.rotate_log, clock)]

    def open_routes(self) -> list[Route]:
        """Return those whose path names no subscription."""
        return self.log_analytics.open_routes()

    def routes(self, root: str) -> list[Route]:
        """Return those of resources; `root` is the workspace's path."""
        return [*self.metrics.routes(root), *self.log_analytics.routes(root), *self.autoscale_settings.routes()]
