"""Buckets of requests: what is left, when there is some again, and which bucket a request is from."""

import pytest
from starlette.requests import Request

from localazure.arm.errors import TooManyRequests
from localazure.arm.limits import DEFAULTS, Limit, Limits, RateLimits
from localazure.core.clock import Clock, Timing

ENDPOINT = "/subscriptions/s/resourceGroups/g/providers/p/workspaces/w/onlineEndpoints/e"
PREFIX = "x-ms-ratelimit-remaining-subscription-"


class Standing(Clock):
    """A clock that goes on only when it is told to."""

    seconds = 0.0

    def monotonic(self) -> float:
        """Return its time in seconds."""
        return self.seconds


def request(method: str, path: str = ENDPOINT) -> Request:
    """One without anything else."""
    return Request({"type": "http", "method": method, "path": path, "headers": [], "query_string": b"", "server": None})


def left(headers: dict[str, str]) -> dict[str, str]:
    """What the headers say, by the rest of their names."""
    return {name.removeprefix(PREFIX): value for name, value in headers.items()}


@pytest.mark.parametrize(
    ("method", "path", "buckets"),
    [
        ("GET", ENDPOINT, {"reads": "249", "global-reads": "3749"}),
        ("PUT", ENDPOINT, {"writes": "199", "global-writes": "2999"}),
        ("POST", f"{ENDPOINT}/listKeys", {"writes": "199", "global-writes": "2999"}),
        ("DELETE", f"{ENDPOINT}/deployments/blue", {"deletes": "199", "global-deletes": "2999"}),
        ("PATCH", f"{ENDPOINT}/deployments/blue", {"writes": "199", "global-writes": "2999"}),
        ("PUT", f"{ENDPOINT}/deployments/blue", {"resource-requests": "24"}),
    ],
)
def test_an_answer_says_what_is_left(method: str, path: str, buckets: dict[str, str]) -> None:
    """As recorded: of its kind, and for a deployment's PUT of the service's own bucket alone."""
    assert left(RateLimits(Limits(), Clock()).take(request(method, path))) == buckets


def test_an_empty_bucket_refuses_until_it_has_filled_again() -> None:
    """With the seconds to wait, which a scale divides."""
    clock = Standing(Timing.AZURE, 10)
    limits = RateLimits(Limits({"writes": Limit(2, 0.02)}), clock)
    assert [left(limits.take(request("PUT")))["writes"] for _ in range(2)] == ["1", "0"]
    with pytest.raises(TooManyRequests) as refused:
        limits.take(request("PUT"))
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "5")
    limits.take(request("GET"))
    clock.seconds = 5.0
    limits.take(request("PUT"))


def test_outside_of_azure_s_pace_only_what_was_asked_for_is_in_force() -> None:
    """What takes minutes on Azure takes milliseconds there: its buckets would refuse what Azure would not."""
    limits = RateLimits(Limits.parse(["deployments=3/60"]), Standing(Timing.FAST))
    for _ in range(2 * DEFAULTS["writes"].size):
        limits.take(request("PUT"))
    put = request("PUT", f"{ENDPOINT}/deployments/blue")
    for _ in range(3):
        limits.take(put)
    with pytest.raises(TooManyRequests) as refused:
        limits.take(put)
    assert (refused.value.code, refused.value.headers["Retry-After"]) == ("ResourceRequestsThrottled", "20")


@pytest.mark.parametrize("option", ["writes", "writes=0", "writes=-1", "writes=5/0", "all=5", "writes=many"])
def test_an_option_that_means_nothing_is_refused(option: str) -> None:
    """With what there is to choose from."""
    with pytest.raises(ValueError, match="NAME=SIZE"):
        Limits.parse([option])
