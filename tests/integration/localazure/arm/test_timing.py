"""Time as on Azure, and as fast as can be."""

import time
from collections.abc import Iterator

import pytest
from azure.ai.ml.entities import ManagedOnlineEndpoint

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, wait_for
from tests.support.localazure.sdk import sdk_client

SCALE = 40
ENDPOINT = {"location": "local", "properties": {"authMode": "Key"}}


@pytest.fixture
def slow() -> Iterator[Arm]:
    """A local Azure on which an endpoint takes 1.5 seconds, and its change 1.75."""
    with LocalAzure(timing="azure", time_scale=SCALE) as running, Arm(running.environ) as arm:
        yield arm


def test_changes_take_their_time_and_show_their_state(slow: Arm) -> None:
    """Creating, Updating, Deleting: each as long as Azure's duration divided by the scale; one change at a time."""
    path = "onlineEndpoints/slow"
    for state, method, body, least_s in (("Creating", "PUT", ENDPOINT, 1.5), ("Updating", "PUT", ENDPOINT, 1.75)):
        started = time.monotonic()
        answer = slow.call(method, path, body)
        assert answer.headers["x-ms-retry-after-ms"] == "750"
        assert answer.json()["properties"]["provisioningState"] == state
        assert slow.get(path)["properties"]["provisioningState"] == state
        assert slow.call(method, path, body).status_code == 409
        wait_for(lambda: slow.get(path)["properties"]["provisioningState"], lambda seen: seen == "Succeeded")
        assert least_s <= time.monotonic() - started < least_s + 5
    assert slow.call("DELETE", path).headers["x-ms-retry-after-ms"] == "125"
    assert slow.get(path)["properties"]["provisioningState"] == "Deleting"


def test_at_instant_timing_the_sdk_does_not_wait_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three operations, each of which lasts a second or more for clients at the usual timing."""
    with LocalAzure(timing="instant") as running:
        sdk = sdk_client(running.environ, monkeypatch)
        endpoint = sdk.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name="swift")).result()
        started, at_work = time.monotonic(), time.process_time()
        for _ in range(3):
            sdk.online_endpoints.begin_create_or_update(endpoint).result()
        assert (time.monotonic() - started) - (time.process_time() - at_work) < 3
