"""Probes against a real endpoint: their pace, their counts, and that they end when nobody listens."""

import asyncio
import itertools
import json
import threading
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from saferollout.config.judge import JudgeConfig
from saferollout.config.recorded_requests import RecordedRequest
from saferollout.domain.errors import AzureFailed
from saferollout.gates.scoring import Scorer
from saferollout.gates.sources.probes import Probes
from saferollout.gates.sources.source import Seen

pytestmark = pytest.mark.slow  # a watch takes its time

REQUESTS = [RecordedRequest(request={"data": number}) for number in range(4)]
RATE = 40
MAX_IN_FLIGHT = 4


Connect = Callable[[], Awaitable[Scorer]]


def connecting(endpoint: Any, key: str = "secret") -> Connect:
    """What connects to an endpoint, both of whose deployments answer."""
    endpoint.deployments = dict.fromkeys(("green", "blue"), lambda _: endpoint.reply(200, [1]))

    async def connect() -> Scorer:
        return Scorer(endpoint.uri, key)

    return connect


@pytest.fixture
def connect(endpoint: Any) -> Connect:
    """As each test needs it."""
    return connecting(endpoint)


def probes(
    connect: Connect, rate: float = RATE, instances: int = MAX_IN_FLIGHT, share: float = 1, **more: Any
) -> Probes:
    """A source that sends the recorded requests to green, the candidate, and to blue."""
    config = JudgeConfig(requests_per_s=rate, capacity_share=share)
    return Probes(connect, REQUESTS, config, candidate="green", live="blue", instances=instances, **more)


async def first(source: Probes) -> Seen:
    """The first batch, after which nobody listens and no task is left."""
    return (await until(source, 0))[0]


async def until(source: Probes, requests: float) -> list[Seen]:
    """As many batches as it takes until the candidate got so many requests: on a busy machine more than one."""
    before, seen = asyncio.all_tasks(), []
    async with aclosing(source.batches()) as batches:
        async for one in batches:
            seen.append(one)
            if sum(each.batch.candidate_requests for each in seen) >= requests:
                break
    assert asyncio.all_tasks() - before == set()
    return seen


async def test_both_deployments_get_the_same_at_the_set_pace(connect: Connect, endpoint: Any) -> None:
    """In a second about as many requests as configured go to each, never more, and the file is read round and round."""
    seen = await first(probes(connect))
    batch = seen.batch

    assert RATE / 4 <= batch.candidate_requests == batch.live_requests <= RATE + 1
    assert (batch.candidate_errors, batch.live_errors, seen.example) == (0, 0, "")
    for deployment in ("green", "blue"):
        sent = [body["data"] for pinned, body in endpoint.seen if pinned == deployment]
        assert len(sent) <= RATE + 1
        counts = [sent.count(data) for data in range(4)]
        assert max(counts) - min(counts) <= MAX_IN_FLIGHT / 4


async def test_errors_are_counted_for_each_deployment(connect: Connect, endpoint: Any) -> None:
    """Every second request fails on the candidate, every fourth on the live deployment; one error is shown."""
    fails = {"green": {1, 3}, "blue": {2}}
    for name, numbers in fails.items():
        endpoint.deployments[name] = lambda request, numbers=numbers: (
            endpoint.reply(500, "division by zero") if request["data"] in numbers else endpoint.reply(200, [1])
        )

    seen = await first(probes(connect))
    batch = seen.batch

    assert batch.candidate_errors == pytest.approx(batch.candidate_requests / 2, abs=5)
    assert batch.live_errors == pytest.approx(batch.live_requests / 4, abs=5)
    assert seen.example == "500 division by zero"


ERRORS = ["no such column", {"error": "no such column"}, None, json.dumps(json.dumps({"error": "no such column"}))]


@pytest.mark.parametrize("error", ERRORS)
async def test_an_error_with_status_200_is_an_error(connect: Connect, endpoint: Any, error: Any) -> None:
    """A script that catches its exceptions answers 200: each answer that is not like live's counts, and one is shown.

    The same holds for live's answers, and neither is wrong where both answer alike.
    """
    # live's late ones: so never a fifth of what was seen of it, which would be usual, wherever a batch ends
    fails = {"green": {1, 13, 4, 5, 6}, "blue": {12, 13}}
    for name, numbers in fails.items():
        endpoint.deployments[name] = lambda request, numbers=numbers: endpoint.reply(
            200, error if request["data"] in numbers else [1]
        )
    config = JudgeConfig(requests_per_s=RATE, capacity_share=1)
    twenty = [RecordedRequest(request={"data": number}) for number in range(20)]

    source = Probes(connect, twenty, config, candidate="green", live="blue", instances=MAX_IN_FLIGHT)
    seen = await until(source, 20)
    requests = sum(one.batch.candidate_requests for one in seen)
    candidate_errors = sum(one.batch.candidate_errors for one in seen)
    live_errors = sum(one.batch.live_errors for one in seen)

    assert candidate_errors == pytest.approx(requests / 5, abs=3)
    assert live_errors == pytest.approx(requests / 20, abs=1)
    assert live_errors > 0
    assert any(one.example.startswith("200, but ") for one in seen)
    answered = sum(np.size(one.batch.candidate_latencies_ms) for one in seen)
    assert answered == requests - candidate_errors - live_errors


async def test_a_schema_says_what_an_error_is(connect: Connect, endpoint: Any) -> None:
    """With a schema an answer is measured by that alone, live's too."""
    endpoint.deployments["green"] = lambda request: endpoint.reply(200, [request["data"], "more"])
    endpoint.deployments["blue"] = lambda request: endpoint.reply(200, {"old": request["data"]})
    schema = {"type": "array", "prefixItems": [{"maximum": 2}]}

    seen = await until(probes(connect, answer_schema=schema), 20)
    requests = sum(one.batch.candidate_requests for one in seen)

    assert sum(one.batch.candidate_errors for one in seen) == pytest.approx(requests / 4, abs=3)
    assert all(one.batch.live_errors == one.batch.live_requests for one in seen)


async def test_what_looks_like_an_error_waits_until_live_has_taught_what_is_usual(
    connect: Connect, endpoint: Any
) -> None:
    """Live fails at the first request only: no right answer of the candidate's is an error because of that."""
    answered = itertools.count()
    endpoint.deployments["blue"] = lambda _: endpoint.reply(200, [1] if next(answered) else "just starting")

    seen = await until(probes(connect, rate=10, instances=1), 10)

    assert sum(found.batch.candidate_errors for found in seen) == 0
    assert sum(found.batch.live_errors for found in seen) == 1
    sent = endpoint.count("green")
    assert sent - MAX_IN_FLIGHT <= sum(found.batch.candidate_requests for found in seen) <= sent


async def test_batches_go_on_without_a_gap(connect: Connect, endpoint: Any) -> None:
    """What is in the air at the end of a second counts in the next: nothing sent is lost or counted twice."""
    async with aclosing(probes(connect).batches()) as batches:
        counted = [await anext(batches), await anext(batches)]
        sent = endpoint.count("green")

    assert sent - MAX_IN_FLIGHT <= sum(seen.batch.candidate_requests for seen in counted) <= sent


async def test_a_deployment_that_hangs_is_not_drowned(connect: Connect, endpoint: Any) -> None:
    """Few requests wait for it at a time, and the batches go on, empty, so that the watch can look at its clock."""
    endpoint.deployments["green"] = endpoint.hang

    batch = (await first(probes(connect, rate=200))).batch

    assert (batch.candidate_requests, batch.live_requests) == (0, 0)
    assert 0 < endpoint.count("green") <= MAX_IN_FLIGHT


async def test_a_key_that_is_refused_says_nothing_of_the_candidate(endpoint: Any) -> None:
    """After a key was renewed, every answer is a 401: a failure that a retry with the new key cures, not a verdict."""
    with pytest.raises(AzureFailed, match="no longer accepts its own key or token: 401") as caught:
        await first(probes(connecting(endpoint, "the old key")))

    assert (caught.value.status, caught.value.retryable) == (401, True)


async def test_a_candidate_that_refuses_by_itself_is_counted(connect: Connect, endpoint: Any) -> None:
    """In a Kubernetes cluster a container's own 401 is passed on: an error like any other, and no key's fault."""
    endpoint.deployments["green"] = lambda _: endpoint.reply(401, "who are you?")

    batch = (await first(probes(connect))).batch

    assert batch.candidate_errors == batch.candidate_requests > 0
    assert batch.live_errors == 0


async def test_an_endpoint_out_of_reach_says_nothing_of_the_candidate(unused_tcp_port: int) -> None:
    """No connection for either deployment is a failure of the network, worth another try, and no error of anybody's."""

    async def connect() -> Scorer:
        return Scorer(f"http://127.0.0.1:{unused_tcp_port}/score", "secret")

    with pytest.raises(AzureFailed, match="cannot be reached") as caught:
        await first(probes(connect))

    assert caught.value.retryable


async def test_probes_leave_the_deployments_to_the_users(connect: Connect, endpoint: Any) -> None:
    """At 20 ms a request, a tenth of one instance's time is five requests a second, and of two instances' ten."""

    def working(_: Any) -> Any:
        threading.Event().wait(0.02)
        return endpoint.reply(200, [1])

    endpoint.deployments["blue"] = working

    async def count(instances: int) -> float:
        async with aclosing(probes(connect, 100, instances, share=0.1).batches()) as batches:
            return (await anext(batches)).batch.live_requests

    counts = await asyncio.gather(count(1), count(2))  # at once: what else the machine does slows both

    assert 1 <= counts[0] <= 5 + 2
    assert counts[0] <= counts[1] <= 10 + 2


@pytest.mark.slow
async def test_a_slow_pace_stays_slow(connect: Connect, endpoint: Any) -> None:
    """Two requests in five seconds are one in the first two, however often the batches are counted."""
    async with aclosing(probes(connect, rate=0.4).batches()) as batches:
        for _ in range(2):
            await anext(batches)

    assert endpoint.count("green") == 1


async def test_latencies_and_answers_come_in_pairs(connect: Connect, endpoint: Any) -> None:
    """Of a pair with an error neither latency nor answer counts."""
    endpoint.deployments["green"] = lambda request: (
        endpoint.reply(500, "oh") if request["data"] == 1 else endpoint.reply(200, [1])
    )

    batch = (await first(probes(connect))).batch

    assert np.size(batch.candidate_latencies_ms) == np.size(batch.live_latencies_ms)
    assert np.size(batch.candidate_latencies_ms) == batch.candidate_requests - batch.candidate_errors


async def test_probes_end_with_whoever_listens(connect: Connect, endpoint: Any) -> None:
    """When the task that reads the batches is cancelled, in the middle of requests, nothing more is sent."""
    arrived = threading.Event()

    def hang(request: Any) -> Any:
        arrived.set()
        return endpoint.hang(request)

    endpoint.deployments["green"] = hang
    before = asyncio.all_tasks()
    listening = asyncio.create_task(first(probes(connect)))
    assert await asyncio.to_thread(arrived.wait, 10)

    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening

    assert asyncio.all_tasks() - before == set()
