"""Time: how long a change takes, when clients shall look again, and every wait there is."""

import asyncio
import enum
import time


class Timing(enum.StrEnum):
    """How a local Azure spends time."""

    INSTANT = "instant"
    """As fast as the work can be done; clients look again after some milliseconds."""
    FAST = "fast"
    """As fast as the work can be done; clients look again after a second, the least that `Retry-After` can say."""
    AZURE = "azure"
    """As long as on Azure, divided by the scale."""


class Change(enum.StrEnum):
    """What an operation does, as far as its duration depends on it."""

    ENDPOINT_CREATE = "create an endpoint"
    ENDPOINT_UPDATE = "update an endpoint"
    ENDPOINT_DELETE = "delete an endpoint"
    DEPLOYMENT_CREATE = "create a deployment"
    DEPLOYMENT_UPDATE = "update a deployment"
    DEPLOYMENT_SCALE = "scale a deployment"
    DEPLOYMENT_DELETE = "delete a deployment"


AZURE_S = {
    Change.ENDPOINT_CREATE: 60,  # not documented; as an update
    Change.ENDPOINT_UPDATE: 60,
    Change.ENDPOINT_DELETE: 300,  # not documented
    Change.DEPLOYMENT_CREATE: 14 * 60,  # 8–20 minutes
    Change.DEPLOYMENT_UPDATE: 14 * 60,  # not documented; new instances are created as for a new deployment
    Change.DEPLOYMENT_SCALE: 15 * 60,  # 12–18 minutes
    Change.DEPLOYMENT_DELETE: 300,  # not documented
}
"""Seconds that a change takes on Azure."""

LOOKS = 10
"""How often a client looks, at most, while a change takes its time."""
MAX_RETRY_AFTER_S = 30
INSTANT_RETRY_AFTER_MS = 50


class Clock:
    """The only thing that waits. `scale` divides the durations of Timing.AZURE and changes nothing else."""

    def __init__(self, timing: Timing = Timing.FAST, scale: float = 1) -> None:
        self.timing = timing
        self._scale = scale

    def duration_s(self, change: Change | None) -> float:
        """Return how long the change takes beyond the work that it is."""
        return AZURE_S[change] / self._scale if change and self.timing is Timing.AZURE else 0

    def retry_after(self, change: Change | None) -> dict[str, str]:
        """Return the header by which clients know when to look again."""
        if self.timing is Timing.INSTANT:
            # Retry-After has whole seconds, and azure-core takes 0 for absent; this header it reads as well.
            return {"x-ms-retry-after-ms": str(INSTANT_RETRY_AFTER_MS)}
        wait_s = min(max(self.duration_s(change) / LOOKS, 1), MAX_RETRY_AFTER_S)
        return {"Retry-After": str(round(wait_s))}

    async def spend(self, change: Change | None) -> None:
        """Let the time go by that the change takes."""
        if duration_s := self.duration_s(change):
            await self.sleep(duration_s)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def monotonic(self) -> float:
        """Return the seconds since some moment, for measuring."""
        return time.monotonic()
