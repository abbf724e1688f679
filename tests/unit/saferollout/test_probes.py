"""Probes against a real endpoint: their pace, their counts, and that they end when nobody listens."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from saferollout.errors import AzureFailed
from saferollout.probes import Probes
from saferollout.recorded import RecordedRequest
from saferollout.scoring import Scorer
from saferollout.source import Seen

REQUESTS = [RecordedRequest(request={"data": number}) for number in range(4)]
RATE = 40
MAX_IN_FLIGHT = 4


@pytest.fixture
async def scorer(endpoint: Any) -> AsyncIterator[Scorer]:
    """A scorer of the endpoint, both of whose deployments answer."""
    endpoint.deployments = dict.fromkeys(("green", "blue"), lambda _: endpoint.reply(200, [1]))
    async with Scorer(endpoint.uri, "secret") as found:
        yield found


def probes(scorer: Scorer, rate: float = RATE) -> Probes:
    return Probes(scorer, REQUESTS, candidate="green", live="blue", requests_per_s=rate, max_in_flight=MAX_IN_FLIGHT)


async def first(source: Probes) -> Seen:
    """The first batch, after which nobody listens and no task is left."""
    before = asyncio.all_tasks()
    try:
        async with aclosing(source.batches()) as batches:
            return await anext(batches)
    finally:
        assert asyncio.all_tasks() - before == set()


async def test_both_deployments_get_the_same_at_the_set_pace(scorer: Scorer, endpoint: Any) -> None:
    """In a second about as many requests as configured go to each, never more, and the file is read round and round."""
    seen = await first(probes(scorer))
    batch = seen.batch

    assert RATE / 4 <= batch.candidate_requests == batch.live_requests <= RATE + 1
    assert (batch.candidate_errors, batch.live_errors, seen.example) == (0, 0, "")
    for deployment in ("green", "blue"):
        sent = [body["data"] for pinned, body in endpoint.seen if pinned == deployment]
        assert len(sent) <= RATE + 1
        counts = [sent.count(data) for data in range(4)]
        assert max(counts) - min(counts) <= MAX_IN_FLIGHT / 4


async def test_errors_are_counted_for_each_deployment(scorer: Scorer, endpoint: Any) -> None:
    """Every second request fails on the candidate, every fourth on the live deployment; one error is shown."""
    fails = {"green": {1, 3}, "blue": {2}}
    for name, numbers in fails.items():
        endpoint.deployments[name] = lambda request, numbers=numbers: (
            endpoint.reply(500, "division by zero") if request["data"] in numbers else endpoint.reply(200, [1])
        )

    seen = await first(probes(scorer))
    batch = seen.batch

    assert batch.candidate_errors == pytest.approx(batch.candidate_requests / 2, abs=5)
    assert batch.live_errors == pytest.approx(batch.live_requests / 4, abs=5)
    assert seen.example == "500 division by zero"


async def test_batches_go_on_without_a_gap(scorer: Scorer, endpoint: Any) -> None:
    """What is in the air at the end of a second counts in the next: nothing sent is lost or counted twice."""
    async with aclosing(probes(scorer).batches()) as batches:
        counted = [await anext(batches), await anext(batches)]
        sent = endpoint.count("green")

    assert sent - MAX_IN_FLIGHT <= sum(seen.batch.candidate_requests for seen in counted) <= sent


async def test_a_deployment_that_hangs_is_not_drowned(scorer: Scorer, endpoint: Any) -> None:
    """Few requests wait for it at a time, and the batches go on, empty, so that the watch can look at its clock."""
    endpoint.deployments["green"] = endpoint.hang

    batch = (await first(probes(scorer, rate=200))).batch

    assert (batch.candidate_requests, batch.live_requests) == (0, 0)
    assert 0 < endpoint.count("green") <= MAX_IN_FLIGHT


async def test_a_key_that_is_refused_says_nothing_of_the_candidate(endpoint: Any) -> None:
    """After a key was renewed, every answer is a 401: a failure that a retry with the new key cures, not a verdict."""
    async with Scorer(endpoint.uri, "the old key") as scorer:
        with pytest.raises(AzureFailed, match=r"does not accept its own key any more \(401\)") as caught:
            await first(probes(scorer))

    assert (caught.value.status, caught.value.retryable) == (401, True)


async def test_probes_end_with_whoever_listens(scorer: Scorer, endpoint: Any) -> None:
    """When the task that reads the batches is cancelled, in the middle of requests, nothing is sent any more."""
    arrived = threading.Event()
    endpoint.deployments["green"] = lambda request: arrived.set() or endpoint.hang(request)
    before = asyncio.all_tasks()
    listening = asyncio.create_task(first(probes(scorer)))
    assert await asyncio.to_thread(arrived.wait, 10)

    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening

    assert asyncio.all_tasks() - before == set()
