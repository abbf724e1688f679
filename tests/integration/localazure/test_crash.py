"""The control plane or the gateway dies while local Azure is used, and comes back or says why it does not."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import eq, lt
from pathlib import Path

import httpx
import psutil
import pytest

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, wait_for
from tests.support.localazure.sdk import register

NAMES = ("first", "second")
CRASHES = 5
REQUESTS = 6
"""So many that both instances have some."""


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[LocalAzure]:
    """One of the test's own."""
    with LocalAzure(tmp_path / "state", timing="instant") as found:
        yield found


def test_clients_that_never_stop_writing_do_not_keep_the_control_plane_from_coming_back(azure: LocalAzure) -> None:
    """They come again at once when their connection is reset, as the SDK does; what was answered is done."""
    ended, answers = threading.Event(), Counter[int]()

    def write(name: str) -> None:
        number = 0
        while not ended.is_set():
            with contextlib.suppress(httpx.TransportError), Arm(azure.environ) as arm:
                while not ended.is_set():
                    tags = {"number": str(number := number + 1)}
                    body = {"location": "local", "tags": tags, "properties": {"authMode": "Key"}}
                    answers[arm.call("PUT", f"onlineEndpoints/{name}", body).status_code] += 1

    writing = [threading.Thread(target=write, args=(name,)) for name in NAMES]
    for thread in writing:
        thread.start()
    try:
        for _ in range(CRASHES):
            wait_for(lambda: answers[201], partial(lt, answers[201] + 2))
            azure.chaos.crash(0.1)
    finally:
        ended.set()
        for thread in writing:
            thread.join()
    with Arm(azure.environ) as arm:
        for name in NAMES:
            assert arm.run("DELETE", f"onlineEndpoints/{name}")["status"] == "Succeeded"


def test_an_instance_that_was_leaving_when_the_control_plane_died_leaves_after_all(azure: LocalAzure) -> None:
    """The change goes on, waits for the requests that the instance still has, and no process of it is left over."""
    blue = "onlineEndpoints/leaving/deployments/blue"
    patient = {"maxConcurrentRequestsPerInstance": 20, "requestTimeout": "PT60S"}
    with Arm(azure.environ) as arm, ThreadPoolExecutor(REQUESTS) as pool:
        arm.endpoint("leaving")
        arm.deploy("leaving", "blue", register(azure.environ), capacity=2, requestSettings=patient)
        arm.processes("leaving", "blue", 2)
        both = len(servers(azure))
        answers = [pool.submit(arm.score, "leaving", {"sleep_s": 3, "say": "at work"}, "blue") for _ in range(REQUESTS)]
        wait_for(lambda: logs(arm, blue), lambda seen: "at work" in seen)
        arm.call("PATCH", blue, {"sku": {"name": "Default", "capacity": 1}})
        wait_for(lambda: state(arm, blue), lambda seen: seen == "Scaling")
        azure.chaos.crash(0.1)

        wait_for(lambda: state(arm, blue), lambda seen: seen == "Succeeded")
        assert [answer.result().status_code for answer in answers] == [200] * REQUESTS
        wait_for(lambda: len(servers(azure)), partial(eq, both / 2))


def state(arm: Arm, path: str) -> str:
    """Of a resource."""
    return str(arm.get(path)["properties"]["provisioningState"])


def logs(arm: Arm, deployment: str) -> str:
    """What its instances have written."""
    return str(arm.call("POST", f"{deployment}/getLogs", {"tail": 100}).json()["content"])


def servers(azure: LocalAzure) -> list[int]:
    """The processes that work in a deployment's folder."""
    found = []
    for process in psutil.Process(azure.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "blue" in Path(process.cwd()).parts:
                found.append(process.pid)
    return found


def test_a_control_plane_that_cannot_come_back_ends_local_azure(azure: LocalAzure) -> None:
    """Whoever waits for it sees the end of the process, and the reason in its log."""
    process = psutil.Process(azure.pid)
    (azure.state_dir / "tls" / "server-key.pem").unlink()
    azure.chaos.ask("POST", "/crash", {"away_s": 0})
    psutil.wait_procs([process], timeout=30)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert "local Azure ends, for a part of it has failed" in azure.log(200)
    assert "No such file or directory" in azure.log(200)


def test_a_gateway_that_cannot_be_started_is_tried_again(azure: LocalAzure) -> None:
    """Until what was in its way is gone."""
    with Arm(azure.environ) as arm:
        uri = arm.endpoint("waiting")
        configuration = azure.state_dir / "gateway" / "bootstrap.json"
        configuration.unlink()
        configuration.mkdir()
        (envoy,) = [one for one in psutil.Process(azure.pid).children(recursive=True) if one.name() == "envoy"]
        envoy.kill()
        wait_for(lambda: "Envoy does not start" in azure.log(200))
        configuration.rmdir()

        def status() -> int:
            try:
                return arm.scoring.post(uri, json={}).status_code
            except httpx.TransportError:
                return 0

        wait_for(status, lambda seen: seen == 401)
