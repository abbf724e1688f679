"""How many management requests a client may send: ARM's token buckets, and the service's own for deployments."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from starlette.requests import Request

from localazure.arm.errors import TooManyRequests
from localazure.core.clock import Clock

_HEADER = "x-ms-ratelimit-remaining-subscription-"
_DEPLOYMENT = re.compile(r"/onlineEndpoints/[^/]+/deployments/[^/]+$", re.IGNORECASE)


@dataclass(frozen=True)
class Limit:
    """A bucket: how many requests it holds, and how many come back a second."""

    size: int
    per_second: float


DEFAULTS = {
    "reads": Limit(250, 25),
    "global-reads": Limit(3750, 375),
    "writes": Limit(200, 10),
    "global-writes": Limit(3000, 150),
    "deletes": Limit(200, 10),
    "global-deletes": Limit(3000, 150),
    "deployments": Limit(25, 25 / 300),
}
"""Sizes as recorded in 2026, refills as ARM documents them. `deployments` are PUTs of deployments, instead of writes:
how fast its 25 come back is not known; five minutes for all of them is a guess."""

_NAMES_IN_HEADERS = {"deployments": "resource-requests"}


class _Bucket:
    def __init__(self, limit: Limit, clock: Clock, refills_at_once: bool) -> None:
        self._limit = limit
        self._clock = clock
        self._at_once = refills_at_once
        self._left = float(limit.size)
        self._looked = clock.monotonic()

    def refill(self) -> None:
        moment = self._clock.monotonic()
        back = (moment - self._looked) * self._limit.per_second * self._clock.pace
        self._left = self._limit.size if self._at_once else min(self._limit.size, self._left + back)
        self._looked = moment

    def wait_s(self) -> int:
        """Return how long it takes until there is one; 0 where there is."""
        if self._left >= 1:
            return 0
        return math.ceil((1 - self._left) / (self._limit.per_second * self._clock.pace))

    def take(self) -> int:
        self._left -= 1
        return int(self._left)


class RateLimits:
    """The buckets of the one subscription.

    With `--timing azure` they are in force, and fill as many times as fast as all else goes. In the other timings, in
    which what takes minutes on Azure takes milliseconds, only those are that were asked for.
    """

    def __init__(self, given: "Limits", clock: Clock) -> None:
        self._buckets = {
            name: _Bucket(given.asked.get(name, limit), clock, not clock.as_azure and name not in given.asked)
            for name, limit in DEFAULTS.items()
        }

    def take(self, request: Request) -> dict[str, str]:
        """Count a request.

        Returns:
            The headers that say what is left.

        Raises:
            TooManyRequests: There was nothing left.
        """
        names = _concerned(request.method, request.url.path)
        buckets = {name: self._buckets[name] for name in names}
        for name, bucket in buckets.items():
            bucket.refill()
            if wait_s := bucket.wait_s():
                raise _refusal(name, wait_s)
        return {_header(name): str(bucket.take()) for name, bucket in buckets.items()}


@dataclass(frozen=True)
class Limits:
    """What `--rate-limit` asks for, by the bucket's name."""

    asked: dict[str, Limit] = field(default_factory=dict)

    @classmethod
    def parse(cls, given: Iterable[str]) -> Self:
        """Return what the options say: NAME=SIZE, or NAME=SIZE/SECONDS for the time in which an empty bucket fills.

        Raises:
            ValueError: One is not valid.
        """
        asked = {}
        for option in given:
            match = re.fullmatch(r"([a-z-]+)=(\d+)(?:/(\d+(?:\.\d+)?))?", option)
            if not match or match[1] not in DEFAULTS or not int(match[2]) or (match[3] and not float(match[3])):
                raise ValueError(
                    f"--rate-limit must be NAME=SIZE or NAME=SIZE/SECONDS, with a name of {', '.join(DEFAULTS)},"
                    f" not '{option}'"
                )
            size, usual = int(match[2]), DEFAULTS[match[1]]
            asked[match[1]] = Limit(size, size / float(match[3]) if match[3] else usual.per_second)
        return cls(asked)


def _concerned(method: str, path: str) -> tuple[str, ...]:
    if method in ("GET", "HEAD"):
        return "reads", "global-reads"
    if method == "DELETE":
        return "deletes", "global-deletes"
    if method == "PUT" and _DEPLOYMENT.search(path):
        return ("deployments",)
    return "writes", "global-writes"


def _refusal(name: str, wait_s: int) -> TooManyRequests:
    own = name == "deployments"
    return TooManyRequests(
        "ResourceRequestsThrottled" if own else "SubscriptionRequestsThrottled",
        f"The number of '{_NAMES_IN_HEADERS.get(name, name)}' requests of this subscription has reached its limit."
        f" Please try again after '{wait_s}' seconds.",
        {"Retry-After": str(wait_s), _header(name): "0"},
    )


def _header(name: str) -> str:
    return _HEADER + _NAMES_IN_HEADERS.get(name, name)
