"""Whether users are served as the traffic says, seen in what an endpoint answers."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from saferollout.config.recorded_requests import RecordedRequest
from saferollout.domain.errors import AzureFailed, GateFailed
from saferollout.gates.arrival import NAMELESS, Served, Sight, look_who_serves
from saferollout.gates.scoring import OWN_REQUESTS, Scorer
from tests.unit.conftest import Endpoint, Reply

REQUESTS = [RecordedRequest(request={"data": [[1]]}), RecordedRequest(request={"data": [[2]]})]
OLD, NEW = {"blue": 90, "green": 10}, {"blue": 100}


async def look(endpoint: Endpoint, answer: Callable[[int], Reply], limit_s: float = 60) -> Served:
    """What is seen where the n-th request is answered so."""
    count = itertools.count()
    endpoint.deployments[None] = lambda _: answer(next(count))
    async with Scorer(endpoint.uri, "secret") as scorer:
        return await look_who_serves(scorer, REQUESTS, old=OLD, new=NEW, limit_s=limit_s)


def named(name: str) -> Reply:
    """An answer that names its deployment."""
    return Reply(200, [1], {"azureml-model-deployment": name})


@pytest.mark.slow
async def test_the_step_ends_when_the_answers_are_as_set(endpoint: Endpoint) -> None:
    """The gateways follow after a while; from then on the answers are counted, until they cannot be the old split's."""
    served = await look(endpoint, lambda n: named("green" if n < 30 and n % 10 == 9 else "blue"))

    assert (served.sight, set(served.counts)) == (Sight.AS_SET, {"blue"})
    assert 60 < served.counts["blue"] < 70 < served.requests < 110
    assert served.requests == len(endpoint.seen)
    assert "users are served as set" in served.words


async def test_answers_without_a_name_prove_nothing(endpoint: Endpoint) -> None:
    """Where the endpoint does not say who answered, that is said, after a few requests; errors are answers, too."""
    served = await look(endpoint, lambda n: Reply(200 if n % 2 else 500, "x", {}))

    assert (served.sight, served.requests, served.counts) == (Sight.NOT_NAMED, NAMELESS, {})
    assert "not verified where users are" in served.words


async def test_a_key_that_is_refused_is_no_answer_without_a_name(endpoint: Endpoint) -> None:
    """Whether users are served as set is not called unknowable for it: the step is tried again with the new key."""
    with pytest.raises(AzureFailed, match="no longer accepts its own key or token: 401") as caught:
        await look(endpoint, lambda _: Reply(401, "key_auth_access_denied", {}))

    assert caught.value.retryable


async def test_users_that_are_still_served_otherwise_are_noticed(endpoint: Endpoint) -> None:
    """When the time is up, it is said who answered instead."""
    served = await look(endpoint, lambda n: named("blue" if n % 10 else "green"), limit_s=0.5)

    assert served.sight is Sight.NOT_YET
    assert served.counts["green"] == (served.requests + 9) // 10
    assert f"green gave {served.counts['green']}" in served.words
    with pytest.raises(GateFailed, match="users are not served as set"):
        served.require_seen()


async def test_an_endpoint_that_does_not_answer_shows_nothing() -> None:
    """No connection is no answer without a name."""
    async with Scorer("http://127.0.0.1:9/score", "secret") as scorer:
        served = await look_who_serves(scorer, REQUESTS, old=OLD, new=NEW, limit_s=0.2)

    assert (served.sight, served.counts) == (Sight.NO_ANSWER, {})
    assert f"none of {served.requests} requests in 0 s got an answer" in served.words
    with pytest.raises(AzureFailed, match="not verified where users are: none of"):
        served.require_seen()


@pytest.mark.parametrize(("options", "is_marked"), [({"own": True}, True), ({}, False)])
async def test_the_rollouts_own_requests_are_marked(
    endpoint: Endpoint, options: dict[str, Any], is_marked: bool
) -> None:
    """By its id, a request of the rollout is not taken for a user's, though the traffic decides who answers it."""
    endpoint.deployments[None] = lambda _: named("blue")
    async with Scorer(endpoint.uri, "secret") as scorer:
        await scorer.score({"data": [[1]]}, **options)

    assert [pinned for pinned, _ in endpoint.seen] == [None]
    assert [name.startswith(OWN_REQUESTS) for name in endpoint.request_ids] == [True] * is_marked
