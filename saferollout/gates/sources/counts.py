"""Counts of requests: what users got, without the recorded requests that went through the same endpoint."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from saferollout.judge import Batch

#: Statuses below 500 by which an endpoint, and not the user, fails.
FAILURES = frozenset({408, 409, 424, 429})


class Counts(NamedTuple):
    """Requests of one deployment, and how many of them failed; not whole where a source interpolates."""

    requests: float = 0.0
    errors: float = 0.0

    def plus(self, other: "Counts") -> "Counts":
        """Return the sum of these counts and the others."""
        return Counts(self.requests + other.requests, self.errors + other.errors)

    def less(self, other: "Counts") -> "Counts":
        """What is left without the other; negative where it is more."""
        return Counts(self.requests - other.requests, self.errors - other.errors)


def failed(status: int) -> bool:
    """Whether a status is the deployment's or the endpoint's failure, not the user's."""
    return status >= 500 or status in FAILURES


class Ledger:
    """The recorded requests that were sent, to be taken off what a source counts of the whole endpoint.

    A request near a border may lie in one window here and in the next one there; what cannot be taken off a
    window is taken off the next.
    """

    def __init__(self) -> None:
        self._sent: dict[str, dict[datetime, Counts]] = defaultdict(lambda: defaultdict(Counts))
        self._owed: dict[str, Counts] = defaultdict(Counts)

    def note(self, deployment: str, at: datetime, status: int) -> None:
        """Note a request that was sent `at` this time, and how it ended."""
        minute = at.replace(second=0, microsecond=0)
        self._sent[deployment][minute] = self._sent[deployment][minute].plus(Counts(1, failed(status)))

    def taken_off(self, deployment: str, minute: datetime, counted: Counts) -> Counts:
        """What is left of a deployment's counts of a minute. Each minute is asked for once, in order."""
        left = counted.less(self._sent[deployment].pop(minute, Counts())).less(self._owed[deployment])
        requests = max(left.requests, 0.0)
        errors = min(max(left.errors, 0.0), requests)
        self._owed[deployment] = Counts(requests - left.requests, min(errors - left.errors, requests - left.requests))
        return Counts(requests, errors)


def batch_of(counts: Mapping[str, Counts], candidate: str, live: str) -> Batch:
    """The counts of one window of time; a deployment that is not in them had no requests, or nobody counted.

    What the two did is compared only where both were seen. The candidate's requests alone still count for its own
    rate.
    """
    c, b = counts.get(candidate, Counts()), counts.get(live, Counts())
    if c.requests and b.requests:
        return Batch(*c, *b)
    return Batch(alone_requests=c.requests, alone_errors=c.errors)


def users_of(counts: Mapping[str, Counts]) -> dict[str, float]:
    """The requests of each deployment."""
    return {name: found.requests for name, found in counts.items()}
