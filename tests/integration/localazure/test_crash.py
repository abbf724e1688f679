"""The control plane or the gateway dies while local Azure is used, and comes back or says why it does not."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from operator import lt
from pathlib import Path

import httpx
import psutil
import pytest

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, wait_for

NAMES = ("first", "second")
CRASHES = 5


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
