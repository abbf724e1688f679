"""What Azure's management may do wrong, and at which calls."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from localazure.chaos import Chaos, Fault

STATUSES = (408, 409, 429, 500, 502, 503, 504)
CODES = {409: "Conflict", 429: "TooManyRequests", 408: "RequestTimeout"}
SITES = {
    "read the endpoint": ("GET", "onlineEndpoints/{endpoint}"),
    "read the deployments": ("GET", "onlineEndpoints/{endpoint}/deployments"),
    "get the key": ("POST", "onlineEndpoints/{endpoint}/listKeys"),
    "update the endpoint": ("PUT", "onlineEndpoints/{endpoint}"),
    "create the candidate": ("PUT", "onlineEndpoints/{endpoint}/deployments/*"),
    "scale": ("PATCH", "onlineEndpoints/{endpoint}/deployments/*"),
    "delete a deployment": ("DELETE", "onlineEndpoints/{endpoint}/deployments/*"),
    "follow an operation": ("GET", "/**/mfeOperations*/**"),
    "register code": ("PUT", "codes/**"),
    "register a model": ("PUT", "models/**"),
    "register an environment": ("PUT", "environments/**"),
    "upload": ("PUT", "/storage.blob*/**"),
    "get a token": ("GET", "/msi/token"),
}
CHANGES = ("update the endpoint", "create the candidate", "scale", "delete a deployment")
"""Those that start an operation."""
REPEATED = ("read the endpoint", "read the deployments", "update the endpoint", "follow an operation", "upload")
"""Those that each rollout makes several times."""


@dataclass(frozen=True)
class Failure:
    """One thing that goes wrong."""

    kind: str
    """In words, for the tally."""
    site: str
    strike: Callable[[Chaos, str, int], Fault]
    """Put it in force at an endpoint, behind so many requests that are let through."""
    passes: bool = True
    """Whether a good candidate is to be promoted all the same."""

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.kind}, {self.site}"


def where(site: str, endpoint: str) -> tuple[str, str]:
    """The method and path of a call."""
    method, path = SITES[site]
    return method, path.format(endpoint=endpoint)


def answered(status: int, site: str, *, after: bool) -> Failure:
    """A request is answered with this status, before or after it has taken effect."""

    def strike(chaos: Chaos, endpoint: str, skip: int) -> Fault:
        method, path = where(site, endpoint)
        retry_after_s = 1 if status == 429 else None
        code = CODES.get(status, "ServiceUnavailable")
        return chaos.answer(
            status, code=code, retry_after_s=retry_after_s, after=after, method=method, path=path, skip=skip
        )

    return Failure(f"answered {status}{' though it was done' if after else ''}", site, strike)


def broken(site: str, *, after: bool) -> Failure:
    """The connection is reset, before or after the request has taken effect."""

    def strike(chaos: Chaos, endpoint: str, skip: int) -> Fault:
        method, path = where(site, endpoint)
        return chaos.reset(after=after, method=method, path=path, skip=skip)

    return Failure(f"connection reset{' after it was done' if after else ''}", site, strike)


def failed(site: str, *, after: bool) -> Failure:
    """The operation fails, before or after it has taken effect."""

    def strike(chaos: Chaos, endpoint: str, skip: int) -> Fault:
        method, path = where(site, endpoint)
        return chaos.fail(after=after, method=method, path=path, skip=skip)

    return Failure(f"operation failed{' after it was done' if after else ''}", site, strike, passes=False)


def hung(site: str) -> Failure:
    """The operation never ends."""

    def strike(chaos: Chaos, endpoint: str, skip: int) -> Fault:
        method, path = where(site, endpoint)
        return chaos.hang(method=method, path=path, skip=skip)

    return Failure("operation never ends", site, strike, passes=False)


def updating(site: str) -> Failure:
    """Right after *Succeeded* Azure says that the endpoint is still being updated."""

    def strike(chaos: Chaos, endpoint: str, skip: int) -> Fault:
        method, path = where(site, endpoint)
        return chaos.answer(409, code="Conflict", method=method, path=path, skip=skip, times=3)

    return Failure('"in Updating state" right after *Succeeded*', site, strike)


def stale(seconds: float) -> Failure:
    """Every read of the endpoint shows it as it was some seconds ago."""

    def strike(chaos: Chaos, endpoint: str, _skip: int) -> Fault:
        return chaos.stale(seconds, method="GET", path=f"onlineEndpoints/{endpoint}**")

    return Failure(f"reads {seconds:g} s old", "all reads", strike)


def at_calls() -> list[Failure]:
    """Every failure of a request at every call, and of every operation that a call starts."""
    found: list[Failure] = []
    for site, (method, _) in SITES.items():
        effects = (False, True) if method in ("PUT", "PATCH", "DELETE") else (False,)
        for after in effects:
            # a version that is there already stays so: that is no failure that passes
            statuses = [status for status in STATUSES if status != 409 or not site.startswith("register")]
            found += [answered(status, site, after=after) for status in statuses]
            found += [broken(site, after=after)]
    for site in CHANGES:
        found += [failed(site, after=False), failed(site, after=True), updating(site)]
    return found


def one_of_each_kind(seed: int) -> list[Failure]:
    """Every failure of a request and of an operation, each at one call only."""
    found = at_calls()
    random.Random(seed).shuffle(found)  # noqa: S311  # no secrets
    return list({failure.kind: failure for failure in found}.values())


def dealt(failures: list[Failure], at_once: int, seed: int) -> Iterator[list[Failure]]:
    """The failures for one rollout after the other, without end: `at_once` at different calls, all equally often."""
    chance = random.Random(seed)  # noqa: S311  # no secrets
    pack: list[Failure] = []
    while True:
        hand: dict[str, Failure] = {}
        pack += chance.sample(failures, len(failures)) if len(pack) < len(failures) else []
        for card in list(pack):
            if card.site not in hand and len(hand) < at_once:
                hand[card.site] = card
                pack.remove(card)
        yield list(hand.values())
