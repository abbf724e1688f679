"""Time as on Azure, and as fast as can be."""

import threading
import time
from collections.abc import Iterator

import pytest
from azure.ai.ml.entities import ManagedOnlineEndpoint
from azure.core.pipeline.transport import RequestsTransport

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, wait_for
from tests.support.localazure.sdk import sdk_client

SCALE = 40
ENDPOINT = {"location": "local", "properties": {"authMode": "Key"}}


@pytest.fixture
def slow() -> Iterator[LocalAzure]:
    """A local Azure on which an endpoint takes 1.5 seconds, and its change 1.75."""
    with LocalAzure(timing="azure", time_scale=SCALE) as running:
        yield running


@pytest.fixture
def arm(slow: LocalAzure) -> Iterator[Arm]:
    """Plain HTTP to it."""
    with Arm(slow.environ) as plain:
        yield plain


def test_changes_take_their_time_and_show_their_state(slow: LocalAzure, arm: Arm) -> None:
    """Creating, Updating, Deleting: each as long as Azure's duration divided by the scale; one change at a time."""
    path = "onlineEndpoints/slow"
    for state, method, body, least_s in (("Creating", "PUT", ENDPOINT, 1.5), ("Updating", "PUT", ENDPOINT, 1.75)):
        started = time.monotonic()
        with slow.chaos.hang(method=method, path=path):
            answer = arm.call(method, path, body)
            assert answer.headers["x-ms-retry-after-ms"] == "750"
            assert answer.json()["properties"]["provisioningState"] == state
            assert arm.get(path)["properties"]["provisioningState"] == state
            assert arm.call(method, path, body).status_code == 409
        wait_for(lambda: arm.get(path)["properties"]["provisioningState"], lambda seen: seen == "Succeeded")
        assert least_s <= time.monotonic() - started < least_s + 5
    with slow.chaos.hang(method="DELETE", path=path):  # it takes a quarter of a second
        assert arm.call("DELETE", path).headers["x-ms-retry-after-ms"] == "125"
        assert arm.get(path)["properties"]["provisioningState"] == "Deleting"


def test_at_instant_timing_the_sdk_does_not_wait_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A twentieth of a second in each of three operations, where it is a second or more at the usual timing."""
    pauses: list[float] = []
    paused = threading.Event()

    def pause(_: RequestsTransport, seconds: float) -> None:
        pauses.append(seconds)
        paused.set()
        time.sleep(seconds)

    monkeypatch.setattr(RequestsTransport, "sleep", pause)
    with LocalAzure(timing="instant") as running:
        sdk = sdk_client(running.environ, monkeypatch)
        endpoint = sdk.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name="swift")).result()
        for _ in range(3):
            paused.clear()
            with running.chaos.hang(method="PUT"):
                changing = sdk.online_endpoints.begin_create_or_update(endpoint)
                assert paused.wait(60)
            changing.result()
    assert set(pauses) == {0.05}
