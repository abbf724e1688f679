"""The judge's sources on Azure, reading what local Azure counted and logged of real requests."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from saferollout.azure.client import Client
from saferollout.azure.workspace import Workspace
from saferollout.config.project import resolve_workspace
from saferollout.config.recorded_requests import RecordedRequest
from saferollout.domain.endpoint import EndpointState
from saferollout.domain.errors import AzureFailed
from saferollout.gates.scoring import Scorer
from saferollout.gates.sources.azure_metrics import AzureMetrics
from saferollout.gates.sources.counts import Ledger
from saferollout.gates.sources.source import Source
from saferollout.gates.sources.traffic_log import TrafficLog
from saferollout.gates.sources.windows import Windows
from saferollout.judge import Batch
from tests.support.localazure.arm import Arm, Assets

REQUEST = RecordedRequest(request={"x": 1})


@pytest.fixture(scope="module")
def deployed(arm: Arm, assets: Assets) -> Iterator[str]:
    """An endpoint with two deployments, half of the traffic on each."""
    arm.endpoint("sourced")
    for name in ("blue", "green"):
        arm.deploy("sourced", name, assets)
    arm.endpoint("sourced", traffic={"blue": 50, "green": 50})
    yield "sourced"
    arm.run("DELETE", "onlineEndpoints/sourced")


def later(start: datetime) -> Callable[[], datetime]:
    """A clock that says `start` first, and that an hour is over from then on."""
    times = iter([start])
    return lambda: next(times, start + timedelta(hours=1))


async def until_reported(source: Callable[[], Source], told: Callable[[Batch], float], expected: float) -> list[Batch]:
    """Read two windows anew until they tell as much as expected: what is logged takes a moment to be seen."""
    deadline = time.monotonic() + 20
    while True:
        async with aclosing(source().batches()) as batches:
            found = [(await anext(batches)).batch for _ in range(2)]
        if sum(map(told, found)) == expected:
            return found
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.2)


async def test_users_are_counted_without_the_recorded_requests(deployed: str) -> None:
    """Twelve users and five recorded requests a deployment: metrics and log both tell of the twelve, no more."""
    workspace = Workspace(Client(resolve_workspace(None)))
    endpoint: EndpointState = workspace.get_endpoint(deployed)
    ledger_entries: list[tuple[str, datetime, int]] = []
    begun = datetime.now(UTC)
    async with Scorer(endpoint.scoring_uri, workspace.secret(deployed)) as scorer:
        for _ in range(12):
            assert (await scorer.score(REQUEST.request)).ok
        for _ in range(5):
            for name in ("blue", "green"):
                at = datetime.now(UTC)
                ledger_entries.append((name, at, (await scorer.score(REQUEST.request, deployment=name)).status))

    def metrics() -> AzureMetrics:
        ledger = Ledger()
        for entry in ledger_entries:
            ledger.note(*entry)
        minutes = Windows(60, 0, clock=later(begun - timedelta(minutes=1)))
        return AzureMetrics(endpoint, minutes, ledger, candidate="green", live="blue")

    def log() -> TrafficLog:
        windows = Windows(30, 0, clock=later(begun - timedelta(seconds=30)))
        workspace_id = os.environ["AZURE_LOG_ANALYTICS_WORKSPACE_ID"]
        return TrafficLog(deployed, workspace_id, windows, candidate="green", live="blue")

    def requests(batch: Batch) -> float:
        return batch.candidate_requests + batch.live_requests

    counted = await until_reported(metrics, requests, 12)
    logged = await until_reported(log, requests, 12)

    for batches in (counted, logged):
        assert sum(batch.candidate_errors + batch.live_errors for batch in batches) == 0
    assert sum(np.size(batch.candidate_latencies_ms) + np.size(batch.live_latencies_ms) for batch in logged) == 12


async def test_copies_are_compared_with_what_they_are_copies_of(deployed: str, arm: Arm) -> None:
    """In the shadow the log pairs them by their ids: of the live deployment as many requests count as were mirrored."""
    arm.endpoint(deployed, traffic={"blue": 100}, mirrorTraffic={"green": 50})
    begun = datetime.now(UTC)
    for _ in range(30):
        assert arm.score(deployed, {"x": 1}).status_code == 200

    def log() -> TrafficLog:
        windows = Windows(30, 0, clock=later(begun - timedelta(seconds=30)))
        workspace_id = os.environ["AZURE_LOG_ANALYTICS_WORKSPACE_ID"]
        return TrafficLog(deployed, workspace_id, windows, candidate="green", live="blue", mirrored=True)

    found = await until_reported(log, lambda batch: batch.live_requests - batch.candidate_requests, 0)

    assert 0 < sum(batch.candidate_requests for batch in found) < 30


async def test_a_source_that_is_not_there_is_no_evidence(deployed: str) -> None:
    """A workspace that does not exist is refused in words, and trying again does not help."""
    source = TrafficLog(deployed, "nowhere", Windows(10, 0, clock=later(datetime.now(UTC))), candidate="g", live="b")

    with pytest.raises(AzureFailed, match="could not read the endpoint's traffic log") as caught:
        async with aclosing(source.batches()) as batches:
            await anext(batches)

    assert not caught.value.retryable
