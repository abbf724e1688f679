"""What runs: the fleets of all deployments, and the gateway before them."""

import asyncio
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from localazure.compute.autoscaler import Autoscaler, Scaling
from localazure.compute.events import Events
from localazure.compute.fleets import Fleet
from localazure.compute.instances import Instance, Setup
from localazure.core.clock import Clock
from localazure.gateway import xds
from localazure.gateway.envoy import Gateway

Targets = dict[str, dict[str, xds.Target]]
"""What runs, by the endpoint's name in lower case and the deployment's."""


@dataclass(frozen=True)
class Limits:
    """What the gateway holds a deployment's requests to, and what of them it collects."""

    request_timeout_ms: int
    max_pending: int
    payloads: xds.Payloads | None = None


@dataclass
class _Running:
    name: str
    fleet: Fleet
    limits: Limits
    routed: bool = True
    autoscaler: Autoscaler | None = None

    def follow(self, scaling: Scaling | None, clock: Clock) -> None:
        """Let the fleet follow its load from now on, if it shall."""
        self.autoscaler = Autoscaler(self.fleet, scaling, clock) if scaling else None

    async def hold(self) -> Scaling | None:
        """Let it follow no longer.

        Returns:
            How it did; None where it did not.
        """
        if self.autoscaler is None:
            return None
        await self.autoscaler.stop()
        return self.autoscaler.scaling


class Runtime:
    """Keeps a fleet per deployment and makes the gateway follow.

    `endpoints` returns the endpoints with their traffic, given the deployments that run.
    """

    def __init__(self, gateway: Gateway, clock: Clock, endpoints: Callable[[Targets], list[xds.Endpoint]]) -> None:
        self._gateway = gateway
        self._clock = clock
        self._running: dict[tuple[str, str], _Running] = {}
        self._failing: set[str] = set()
        self._endpoints = endpoints
        self.events = Events()

    def address(self, endpoint: str) -> str:
        """Return where the endpoint is: what comes after it goes to its deployments."""
        return self._gateway.url + xds.endpoint_path(endpoint)

    def runs(self, endpoint: str, deployment: str) -> bool:
        """Return whether the deployment has instances here."""
        return (endpoint.lower(), deployment.lower()) in self._running

    def instances(self, endpoint: str, deployment: str) -> int:
        """Return how many instances of the deployment serve."""
        running = self._running.get((endpoint.lower(), deployment.lower()))
        return sum(not instance.draining for instance in running.fleet.instances) if running else 0

    def members(self) -> Iterator[tuple[tuple[str, str], Instance]]:
        """Yield all instances, with their endpoint and deployment in lower case."""
        for key, running in self._running.items():
            for instance in running.fleet.members:
                yield key, instance

    async def shape(
        self, endpoint: str, deployment: str, setup: Setup, count: int, limits: Limits, scaling: Scaling | None = None
    ) -> None:
        """Make the deployment `count` ready instances of `setup`; with `scaling`, they follow the load from then on.

        Raises:
            InstanceFailed: An instance does not become ready; what served goes on then.
        """
        key = (endpoint.lower(), deployment.lower())
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = _Running(deployment, self._fleet(endpoint, deployment), limits)
        before = await running.hold()
        if scaling:
            count = scaling.within(max(count, running.fleet.count))
        # Requests under way were begun under the old limits.
        drain_timeout_ms = max(limits.request_timeout_ms, running.limits.request_timeout_ms)
        try:
            await running.fleet.shape(setup, count, drain_timeout_s=drain_timeout_ms / 1000)
        except BaseException:
            if not running.fleet.started:
                del self._running[key]
            running.follow(before, self._clock)
            raise
        # Only now: new limits replace the gateway's cluster, which forgets how many requests an instance has, and that
        # is what draining goes by.
        running.limits = limits
        try:
            await self.publish()
        finally:
            running.follow(scaling, self._clock)

    async def remove(self, endpoint: str, deployment: str) -> None:
        """End the deployment's instances, after they have answered what they have."""
        key = (endpoint.lower(), deployment.lower())
        if running := self._running.get(key):
            await running.hold()
            running.routed = False
            await self.publish()
            await running.fleet.drain()
            self._running.pop(key, None)
            await self.publish()

    async def remove_endpoint(self, endpoint: str) -> None:
        """End all instances of the endpoint's deployments, likewise."""
        await asyncio.gather(*(self.remove(*key) for key in self._running if key[0] == endpoint.lower()))

    def kill(self, endpoint: str, deployment: str, count: int) -> int:
        """Kill up to `count` instances of the deployment.

        Returns:
            How many.
        """
        running = self._running.get((endpoint.lower(), deployment.lower()))
        return running.fleet.kill(count) if running else 0

    def fails(self, endpoint: str) -> bool:
        """Return whether every request to the endpoint is answered 500."""
        return endpoint.lower() in self._failing

    async def fail(self, endpoint: str) -> None:
        """Let every request to the endpoint be answered 500, until `recover`."""
        self._failing.add(endpoint.lower())
        await self.publish()

    async def recover(self, endpoint: str | None = None) -> None:
        """Let the endpoint, or all, answer again."""
        self._failing -= {endpoint.lower()} if endpoint else self._failing.copy()
        await self.publish()

    async def publish(self) -> None:
        """Make the gateway do what the fleets and the endpoints say now."""
        await self._gateway.apply(self._wanted)

    async def stop(self) -> None:
        """End everything at once."""
        for running in self._running.values():
            if running.autoscaler:
                running.autoscaler.cancel()
        await asyncio.gather(*(running.fleet.stop() for running in self._running.values()))

    def _fleet(self, endpoint: str, deployment: str) -> Fleet:
        cluster = xds.cluster_name(endpoint, deployment)

        async def under_way(port: int) -> int:
            return await self._gateway.requests_under_way(cluster, port)

        report = functools.partial(self.events.add, endpoint, deployment)
        return Fleet(cluster, self.publish, under_way, self._clock, report)

    def _wanted(self) -> list[xds.Endpoint]:
        targets: Targets = {}
        for (endpoint, _), running in self._running.items():
            if running.fleet.started:
                limits = running.limits
                targets.setdefault(endpoint, {})[running.name] = xds.Target(
                    running.fleet.instances,
                    limits.request_timeout_ms,
                    limits.max_pending,
                    running.routed,
                    limits.payloads,
                )
        wanted = self._endpoints(targets)
        return [replace(endpoint, failing=self.fails(endpoint.name)) for endpoint in wanted]
