"""What served before local Azure was started again, and is to serve once more."""

import functools
import itertools
import logging
from collections.abc import Awaitable, Callable

from localazure.arm.errors import ArmError
from localazure.arm.operations import Operations
from localazure.compute.fleets import RESTART_DELAYS_S
from localazure.core.clock import Clock

NOT_READY = "ResourceNotReady"
"""The code of a failure that is the container's own."""

log = logging.getLogger(__name__)


class Restarts:
    """Starts things again, with growing pauses where that is for want of a container engine, of network or of space."""

    def __init__(self, operations: Operations, clock: Clock) -> None:
        self._operations = operations
        self._clock = clock
        self._expected: dict[str, Callable[[], None]] = {}

    def expect(
        self,
        resource: str,
        work: Callable[[], Awaitable[object]],
        settle: Callable[[ArmError | None], None],
        needed: Callable[[], bool],
    ) -> None:
        """Begin `work` on `resource` as an operation, and again when it fails, as long as it is `needed`.

        `settle` writes down how each attempt ended.
        """
        ended = functools.partial(self._ended, resource, settle)

        def attempt() -> None:
            if not needed():
                self._expected.pop(resource, None)
            elif not self._operations.busy(resource):
                self._operations.start(resource, work, ended)

        self._expected[resource] = attempt
        attempt()

    async def keep(self) -> None:
        """Try again what has failed, until nothing is left."""
        for delay_s in itertools.chain(RESTART_DELAYS_S, itertools.repeat(RESTART_DELAYS_S[-1])):
            if not self._expected:
                return
            await self._clock.sleep(delay_s)
            for attempt in list(self._expected.values()):
                attempt()

    def _ended(self, resource: str, settle: Callable[[ArmError | None], None], reason: ArmError | None) -> None:
        if reason:
            log.warning("%s does not come back: %s", resource, reason)
        if reason is None or reason.code == NOT_READY or reason.status == 404:  # it would be so again
            self._expected.pop(resource, None)
        settle(reason)
