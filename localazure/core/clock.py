"""Time: how long a change takes, how clients are hurried, and every wait there is."""

import asyncio
import datetime
import enum
import time


class Timing(enum.StrEnum):
    """How a local Azure spends time."""

    INSTANT = "instant"
    """As fast as the work can be done; clients look again after some milliseconds."""
    FAST = "fast"
    """As fast as the work can be done; clients look again after a second, the least that `Retry-After` can say."""
    AZURE = "azure"
    """As long as on Azure, and the buckets of requests fill as there; both as many times as fast as the scale says."""


class Change(enum.StrEnum):
    """What an operation does, as far as its duration depends on it."""

    ENDPOINT_CREATE = "create an endpoint"
    ENDPOINT_UPDATE = "update an endpoint"
    ENDPOINT_DELETE = "delete an endpoint"
    ENDPOINT_DELETE_WITH_DEPLOYMENTS = "delete an endpoint with its deployments"
    DEPLOYMENT_CREATE = "create a deployment"
    DEPLOYMENT_UPDATE = "update a deployment"
    DEPLOYMENT_SCALE = "scale a deployment"
    DEPLOYMENT_DELETE = "delete a deployment"


AZURE_S = {
    Change.ENDPOINT_CREATE: 60,  # recorded: 46, 61 at most, 90
    Change.ENDPOINT_UPDATE: 70,  # recorded for traffic: 20, 70, 70
    Change.ENDPOINT_DELETE: 8,  # recorded without deployments: 7.8, 8.3
    Change.ENDPOINT_DELETE_WITH_DEPLOYMENTS: 300,  # recorded: more than 50, 73 and 106; the end was not seen
    Change.DEPLOYMENT_CREATE: 425,  # recorded: 425, 391 at most, 412 to 546, 551, 589 at most; documented: 8-20 minutes
    Change.DEPLOYMENT_UPDATE: 425,  # a guess: new instances are created as for a new deployment
    Change.DEPLOYMENT_SCALE: 320,  # recorded for a third instance: 320; documented: 12-18 minutes
    Change.DEPLOYMENT_DELETE: 300,  # a guess
}
"""Seconds that a change takes on Azure."""

SDK_LOOKS_S = {
    Change.ENDPOINT_CREATE: 30,
    Change.ENDPOINT_UPDATE: 30,
    Change.ENDPOINT_DELETE: 5,
    Change.ENDPOINT_DELETE_WITH_DEPLOYMENTS: 5,
    Change.DEPLOYMENT_CREATE: 5,
    Change.DEPLOYMENT_UPDATE: 5,
    Change.DEPLOYMENT_SCALE: 5,
    Change.DEPLOYMENT_DELETE: 30,
}
"""How often azure-ai-ml looks at an operation, in seconds, where nothing says when: on Azure nothing does."""

INSTANT_RETRY_AFTER_MS = 50


class Clock:
    """The only thing that waits. `scale` divides the durations of Timing.AZURE and changes nothing else."""

    def __init__(self, timing: Timing = Timing.FAST, scale: float = 1) -> None:
        self.timing = timing
        self._scale = scale

    def duration_s(self, change: Change | None) -> float:
        """Return how long the change takes beyond the work that it is."""
        return AZURE_S[change] / self._scale if change and self.timing is Timing.AZURE else 0

    @property
    def as_azure(self) -> bool:
        """Whether time goes as on Azure, be it faster."""
        return self.timing is Timing.AZURE

    @property
    def pace(self) -> float:
        """How many seconds of Azure go by in one."""
        return self._scale if self.as_azure else 1

    def hurry(self, change: Change | None) -> dict[str, str]:
        """Return the header by which clients look again sooner than they would by themselves.

        Azure sends none, and so does its own pace. At a scale, clients look as many times as often.
        """
        if self.timing is Timing.FAST:
            return {"Retry-After": "1"}  # in whole seconds, and azure-core takes 0 for absent
        wait_ms = INSTANT_RETRY_AFTER_MS
        if self.as_azure:
            if self._scale == 1 or change is None:
                return {}
            wait_ms = max(wait_ms, round(1000 * SDK_LOOKS_S[change] / self._scale))
        return {"x-ms-retry-after-ms": str(wait_ms)}  # azure-core reads this one, too

    async def spend(self, change: Change | None) -> None:
        """Let the time go by that the change takes."""
        if duration_s := self.duration_s(change):
            await self.sleep(duration_s)

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds of this clock."""
        await asyncio.sleep(seconds)

    def monotonic(self) -> float:
        """Return the seconds since some moment, for measuring."""
        return time.monotonic()


def now() -> str:
    """Return this moment in UTC, as the service writes times: zeros at the end of the fraction are cut."""
    moment = datetime.datetime.now(datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".") + "+00:00"
