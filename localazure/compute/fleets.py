"""The instances of one deployment: how many there are, which revision they run, and what happens when one dies."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable

import httpx

from localazure.arm.errors import InstanceFailed
from localazure.compute import events
from localazure.compute.instances import Instance, Setup
from localazure.core.clock import Clock
from localazure.gateway import xds

DRAIN_POLL_S = 0.05
RESTART_DELAYS_S = (0, 1, 2, 5, 10, 30)
"""Before the first, second, … restart in a row; the last value goes on."""

log = logging.getLogger(__name__)


class Fleet:
    """Starts, replaces and stops the instances of a deployment, and publishes that to the gateway before and after.

    `publish` makes the gateway do what the fleets say now and returns when it does; `under_way` counts the requests
    that an instance is answering. An instance gets requests only when it is ready, and is stopped only when the gateway
    sends it nothing new and it has answered the rest. `report` hears what happens to which instance.
    """

    def __init__(
        self,
        name: str,
        publish: Callable[[], Awaitable[None]],
        under_way: Callable[[int], Awaitable[int]],
        clock: Clock,
        report: Callable[[str, tuple[str, str]], None] = lambda _instance, _what: None,
    ) -> None:
        self.name = name
        self.started = False
        """Whether it has ever had a ready instance: the deployment then exists for the gateway, even with none left."""
        self._publish = publish
        self._under_way = under_way
        self._clock = clock
        self._report = report
        self._instances: list[Instance] = []
        self._guards: dict[Instance, asyncio.Task[None]] = {}
        """One per instance, and one per dead instance that is being replaced."""
        self._setup: Setup | None = None
        self._count = 0
        self._drain_timeout_s = 5.0

    @property
    def instances(self) -> tuple[xds.Instance, ...]:
        """The instances that the gateway shall know."""
        return tuple(
            xds.Instance(instance.address.port, instance.draining or not instance.well) for instance in self._instances
        )

    @property
    def members(self) -> tuple[Instance, ...]:
        """Those that have been ready and run, leaving ones too."""
        return tuple(self._instances)

    async def shape(self, setup: Setup, count: int, drain_timeout_s: float) -> None:
        """Make the fleet `count` instances of `setup`.

        Instances of an older setup are replaced one by one. `drain_timeout_s` is how long a request may take. Raises
        InstanceFailed when a new instance does not become ready; the old ones then go on serving.
        """
        self._drain_timeout_s = drain_timeout_s
        before = self._setup, self._count
        self._setup, self._count = setup, count
        try:
            await self._shape(setup, count)
        except BaseException:
            self._setup, self._count = before
            raise

    @property
    def count(self) -> int:
        """How many instances it shall have."""
        return self._count

    async def resize(self, count: int) -> None:
        """Make the fleet `count` instances of what it runs.

        Raises:
            InstanceFailed: As `shape`.
        """
        if self._setup:
            await self.shape(self._setup, count, self._drain_timeout_s)

    async def requests_under_way(self) -> int:
        """Return how many requests all instances are answering."""
        return sum([await self._under_way(instance.address.port) for instance in list(self._instances)])

    async def drain(self) -> None:
        """End all instances, each after it has answered what it has."""
        self._count = 0
        await self._drain(self._serving())
        await self.stop()

    def kill(self, count: int) -> int:
        """Kill up to `count` serving instances. They are replaced.

        Returns:
            How many there were to kill.
        """
        dying = self._serving()[:count]
        for instance in dying:
            instance.kill()
        return len(dying)

    async def stop(self) -> None:
        """End all instances at once."""
        guards = list(self._guards.values())
        for guard in guards:
            guard.cancel()
        await asyncio.gather(*guards, return_exceptions=True)
        self._guards.clear()
        instances, self._instances = self._instances, []
        await asyncio.gather(*(instance.stop() for instance in instances))

    async def _shape(self, setup: Setup, count: int) -> None:
        old = [instance for instance in self._serving() if instance.setup != setup]
        missing = count - len([instance for instance in self._serving() if instance.setup == setup])
        if not old:
            await self._add(setup, missing)
        else:
            for _ in range(missing):
                await self._add(setup, 1)
                if old:
                    await self._drain([old.pop()])
            await self._drain(old)
        surplus = len(self._serving()) - count
        if surplus > 0:
            await self._drain(self._serving()[-surplus:])

    def _serving(self) -> list[Instance]:
        return [instance for instance in self._instances if not instance.draining]

    async def _add(self, setup: Setup, count: int) -> None:
        if count <= 0:
            return
        started: list[Instance] = []
        try:
            while len(started) < count:
                started.append(await self._start(setup))
            await asyncio.gather(*(instance.ready() for instance in started))
        except BaseException:
            await asyncio.gather(*(instance.stop() for instance in started))
            raise
        for instance in started:
            self._join(instance)
        await self._publish()

    async def _start(self, setup: Setup) -> Instance:
        instance = await Instance.start(setup, self._clock)
        self._report(instance.id, events.CREATED)
        self._report(instance.id, events.STARTED)
        return instance

    def _join(self, instance: Instance) -> None:
        self.started = True
        self._instances.append(instance)
        self._watch_over(instance)

    def _watch_over(self, instance: Instance) -> None:
        self._guards[instance] = asyncio.create_task(self._guard(instance), name=f"guard of {self.name}")

    async def _drain(self, leaving: list[Instance]) -> None:
        if not leaving:
            return
        for instance in leaving:
            instance.draining = True
            if guard := self._guards.pop(instance, None):  # none: it died, and was replaced
                guard.cancel()
        try:
            await self._let_go(leaving)
        except BaseException:
            for instance in leaving:
                instance.draining = False
                self._watch_over(instance)
            raise
        for instance in leaving:
            self._report(instance.id, events.STOPPING)
        await asyncio.gather(*(instance.stop() for instance in leaving))

    async def _let_go(self, leaving: list[Instance]) -> None:
        """Take them out of the gateway once they have answered what they have, or the time is over."""
        await self._publish()
        deadline = self._clock.monotonic() + self._drain_timeout_s
        waiting = list(leaving)
        quiet = dict.fromkeys(waiting, 0)
        while waiting and self._clock.monotonic() < deadline:
            for instance in list(waiting):
                # Twice in a row: a worker thread of the gateway may have chosen the instance just before the change.
                quiet[instance] = 0 if await self._is_busy(instance) else quiet[instance] + 1
                if quiet[instance] >= 2:
                    waiting.remove(instance)
            if waiting:
                await self._clock.sleep(DRAIN_POLL_S)
        self._instances = [instance for instance in self._instances if instance not in leaving]
        try:
            await self._publish()
        except BaseException:
            self._instances += leaving
            raise

    async def _is_busy(self, instance: Instance) -> bool:
        """Whether it answers something, as far as the gateway can say now."""
        try:
            return bool(await self._under_way(instance.address.port))
        except httpx.HTTPError:  # it is being started again, or slow
            return True

    async def _guard(self, instance: Instance) -> None:
        """Replace the instance when it dies or hangs: out of rotation at once, another one as soon as it is ready.

        Raises:
            CancelledError: The instance is to be stopped.
        """
        await self._watch(instance)
        self._instances.remove(instance)
        await self._publish_safely()
        for delay_s in itertools.chain(RESTART_DELAYS_S, itertools.repeat(RESTART_DELAYS_S[-1])):
            if delay_s:
                self._report(instance.id, events.BACK_OFF)
            await self._clock.sleep(delay_s)
            try:
                replacement = await self._start(instance.setup)
            except OSError as error:  # no memory, no files left
                log.warning("a new instance of %s does not start: %s", self.name, error)
                continue
            try:
                await replacement.ready()
            except (InstanceFailed, OSError) as error:
                log.warning("a new instance of %s failed: %s", self.name, error)
                await replacement.stop()
                continue
            except asyncio.CancelledError:
                await replacement.stop()
                raise
            break
        del self._guards[instance]
        if instance.setup != self._setup or len(self._serving()) >= self._count:  # the fleet was reshaped meanwhile
            await replacement.stop()
            return
        self._join(replacement)
        await self._publish_safely()

    async def _watch(self, instance: Instance) -> None:
        """Follow the instance's probes until it has ended: by itself, or because its liveness probe fails."""
        exited = asyncio.create_task(instance.wait())
        hung = asyncio.create_task(instance.hung())
        rotating = asyncio.create_task(self._rotate(instance))
        try:
            await asyncio.wait({exited, hung}, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done():
                self._report(instance.id, events.HUNG)
                self._report(instance.id, events.RESTARTING)
                instance.log_line("WARNING: the liveness probe failed too often: the container is restarted")
                instance.kill()
            code = await exited
        finally:
            tasks = (exited, hung, rotating)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        log.warning("an instance of %s ended with code %s: %s", self.name, code, instance.last_words())

    async def _rotate(self, instance: Instance) -> None:
        """Keep the instance out of rotation while its readiness probe fails."""
        async for well in instance.setup.readiness.changes(instance.address.readiness, self._clock):
            instance.well = well
            if not well:
                self._report(instance.id, events.NOT_READY)
            instance.log_line(
                f"WARNING: the readiness probe {'passes again' if well else 'failed too often: no requests'}"
            )
            await self._publish_safely()

    async def _publish_safely(self) -> None:
        try:
            await self._publish()
        except Exception:  # a guard must not die of a gateway that is being restarted
            log.exception("the gateway did not take the instances of %s", self.name)
