"""Liveness and readiness probes, and how many requests an instance works on at once."""

import concurrent.futures
import contextlib
import signal
from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.support.localazure.arm import Arm, Assets, wait_for

READINESS = {"period": "PT0.3S", "timeout": "PT1S", "failureThreshold": 2}
STARTUP = {"initialDelay": "PT1S", "period": "PT1S", "failureThreshold": 60}
LIVENESS = {"period": "PT0.5S", "timeout": "PT2S", "failureThreshold": 2}


@pytest.fixture(scope="module")
def endpoint(arm: Arm) -> Iterator[str]:
    """An endpoint without deployments."""
    arm.endpoint("probes")
    yield "probes"
    arm.run("DELETE", "onlineEndpoints/probes")


def processes(arm: Arm, deployment: str, count: int = 16) -> set[int]:
    """The processes that answer now."""
    answers = [arm.score("probes", {}, deployment) for _ in range(count)]
    return {answer.json()["pid"] for answer in answers if answer.status_code == 200}


@contextlib.contextmanager
def hanging(pid: int) -> Iterator[None]:
    """The inference server with this worker no longer does anything, as in a deadlock."""
    server = psutil.Process(psutil.Process(pid).ppid())
    family = [server, *server.children(recursive=True)]
    for process in family:
        process.send_signal(signal.SIGSTOP)
    yield
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGCONT)


def logs(arm: Arm, deployment: str) -> str:
    """Of its containers."""
    return str(arm.call("POST", f"onlineEndpoints/probes/deployments/{deployment}/getLogs", {}).json()["content"])


def events(arm: Arm, deployment: str) -> set[str]:
    """The names of what happened to its containers."""
    query = f"AmlOnlineEndpointEventLog | where DeploymentName == '{deployment}' | project Name, Message, InstanceId"
    found = arm.http.post(f"/v1{arm.workspace}/query", json={"query": query}).raise_for_status().json()
    rows = found["tables"][0]["rows"]
    assert all(len(row) == 3 and all(row) for row in rows)
    return {row[0] for row in rows}


def test_an_instance_whose_readiness_probe_fails_gets_no_requests_until_it_passes(
    arm: Arm, assets: Assets, endpoint: str
) -> None:
    """The others answer meanwhile; it is not restarted for that."""
    arm.deploy(endpoint, "unready", assets, capacity=2, readinessProbe=READINESS, startupProbe=STARTUP)
    shown = arm.get(f"onlineEndpoints/{endpoint}/deployments/unready")["properties"]
    assert shown["startupProbe"] == {"successThreshold": 1, "timeout": "PT2S", **STARTUP}
    before = wait_for(lambda: processes(arm, "unready"), lambda seen: len(seen) == 2)
    with hanging(min(before)):
        wait_for(lambda: "readiness probe failed" in logs(arm, "unready"))
        wait_for(lambda: processes(arm, "unready"), lambda seen: seen == {max(before)})
    wait_for(lambda: "readiness probe passes again" in logs(arm, "unready"))
    assert events(arm, "unready") == {"Created", "Started", "ReadinessProbeFailed"}
    wait_for(lambda: processes(arm, "unready"), lambda seen: seen == before)
    arm.run("DELETE", f"onlineEndpoints/{endpoint}/deployments/unready")


def test_an_instance_whose_liveness_probe_fails_is_restarted(arm: Arm, assets: Assets, endpoint: str) -> None:
    """It hangs, and would for ever."""
    arm.deploy(endpoint, "hung", assets, livenessProbe=LIVENESS)
    (before,) = wait_for(lambda: processes(arm, "hung", 1))
    with hanging(before):
        after = wait_for(lambda: processes(arm, "hung", 1))
    assert after != {before}
    assert not psutil.pid_exists(before)
    assert "liveness probe failed too often" in logs(arm, "hung")
    assert events(arm, "hung") >= {"Created", "Started", "LivenessProbeFailed", "Killing"}
    arm.run("DELETE", f"onlineEndpoints/{endpoint}/deployments/hung")


def test_worker_count_is_how_many_requests_an_instance_works_on(arm: Arm, assets: Assets, endpoint: str) -> None:
    """WORKER_COUNT=2: two requests at once, by two processes of one instance."""
    settings = {"maxConcurrentRequestsPerInstance": 2}
    variables = {"WORKER_COUNT": "2"}
    arm.deploy(endpoint, "workers", assets, environmentVariables=variables, requestSettings=settings)

    def both() -> set[int]:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            answers: list[httpx.Response] = list(
                pool.map(lambda _: arm.score(endpoint, {"sleep_s": 0.5}, "workers"), range(2))
            )
        return {answer.json()["pid"] for answer in answers}

    assert len(wait_for(both, lambda seen: len(seen) == 2)) == 2
    arm.run("DELETE", f"onlineEndpoints/{endpoint}/deployments/workers")
