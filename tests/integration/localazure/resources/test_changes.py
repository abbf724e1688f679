"""Changes under load: scaling, shifting, updating, deleting, and not one request lost."""

import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.support.localazure.arm import Arm, Assets, wait_for
from tests.support.localazure.users import Users


@pytest.fixture
def endpoint(arm: Arm, assets: Assets, request: pytest.FixtureRequest) -> Iterator[str]:
    """An endpoint of the test's own, with blue at 100%."""
    name = "c" + format(abs(hash(request.node.name)), "x")[:12]
    arm.endpoint(name)
    arm.deploy(name, "blue", assets)
    arm.endpoint(name, traffic={"blue": 100})
    yield name
    arm.run("DELETE", f"onlineEndpoints/{name}")


def test_scaling_loses_no_request(arm: Arm, assets: Assets, endpoint: str) -> None:
    """Out and in again, while requests take long enough to be under way at every moment."""
    with Users(arm, endpoint, {"sleep_s": 0.05}) as users:
        for capacity in (2, 1, 3, 1):
            arm.deploy(endpoint, "blue", assets, capacity=capacity)
            users.some_more()
    assert users.errors == []
    assert arm.get(f"onlineEndpoints/{endpoint}/deployments/blue")["sku"]["capacity"] == 1


def test_a_rollout_loses_no_request(arm: Arm, assets: Assets, endpoint: str) -> None:
    """Create green, shift in steps, delete blue: the walk, with users."""
    with Users(arm, endpoint, {"sleep_s": 0.02}) as users:
        arm.deploy(endpoint, "green", assets, model=2)
        assert users.seen[200, "green"] == 0
        for traffic in ({"blue": 90, "green": 10}, {"blue": 50, "green": 50}, {"green": 100}):
            arm.endpoint(endpoint, traffic=traffic)
            users.some_more()
        assert arm.run("DELETE", f"onlineEndpoints/{endpoint}/deployments/blue")["status"] == "Succeeded"
        users.some_more()
    assert users.errors == []
    assert users.seen[200, "green"] > 0
    assert users.seen[200, "blue"] > 0


def test_fifty_traffic_changes_lose_no_request(arm: Arm, assets: Assets, endpoint: str) -> None:
    """Each takes effect within the operation: the next request follows it."""
    arm.deploy(endpoint, "green", assets, model=2)
    with Users(arm, endpoint, {"sleep_s": 0.01}) as users:
        for number in range(50):
            share = 100 * (number % 2)
            arm.endpoint(endpoint, traffic={"blue": 100 - share, "green": share})
            wanted = "green" if share else "blue"
            assert arm.score(endpoint, {}).headers["azureml-model-deployment"] == wanted
    assert users.errors == []


def test_an_update_in_place_is_rolling(arm: Arm, assets: Assets, endpoint: str) -> None:
    """Another model for a deployment that has all the traffic: old answers, then new ones, and nothing else."""
    arm.deploy(endpoint, "blue", assets, capacity=2)
    with Users(arm, endpoint, {"sleep_s": 0.02}) as users:
        arm.deploy(endpoint, "blue", assets, capacity=2, model=2)
        assert {arm.score(endpoint, {"x": 1}).json()["y"] for _ in range(10)} == {3}
    assert users.errors == []


def begin(arm: Arm, endpoint: str, deployment: str, sleep_s: float) -> tuple[threading.Thread, list[httpx.Response]]:
    """Send a request in a thread, and wait until `run()` works on it; return the thread, and where its answer comes."""
    answers: list[httpx.Response] = []
    body = {"x": 1, "say": "a long request", "sleep_s": sleep_s}
    request = threading.Thread(target=lambda: answers.append(arm.score(endpoint, body, deployment)))
    request.start()
    logs = f"onlineEndpoints/{endpoint}/deployments/{deployment}/getLogs"
    wait_for(lambda: "a long request" in arm.call("POST", logs, {}).json()["content"])
    return request, answers


def test_a_long_request_is_answered_although_its_instance_leaves(arm: Arm, assets: Assets, endpoint: str) -> None:
    """Draining waits for what is under way; the deployment is gone only then."""
    arm.deploy(endpoint, "green", assets, model=2)
    request, answers = begin(arm, endpoint, "green", 2)
    assert arm.run("DELETE", f"onlineEndpoints/{endpoint}/deployments/green")["status"] == "Succeeded"
    request.join()
    assert (answers[0].status_code, answers[0].json()["y"]) == (200, 3)
    assert arm.score(endpoint, {}, "green").status_code == 404


def test_a_shorter_time_out_does_not_cut_requests_begun_under_the_longer(
    arm: Arm, assets: Assets, endpoint: str
) -> None:
    """An instance that leaves has as long for its last requests as they were promised, not as new ones are."""
    concurrent = {"maxConcurrentRequestsPerInstance": 20}
    arm.deploy(endpoint, "blue", assets, requestSettings={**concurrent, "requestTimeout": "PT60S"})
    # longer than the new time-out, the ten seconds that a process has to stop, and what the new instance takes to start
    request, answers = begin(arm, endpoint, "blue", 14)
    arm.deploy(endpoint, "blue", assets, model=2, requestSettings={**concurrent, "requestTimeout": "PT1S"})
    request.join()
    assert (answers[0].status_code, answers[0].json()["y"]) == (200, 2)
    answer = wait_for(lambda: arm.score(endpoint, {"x": 1}, "blue"), lambda found: found.status_code == 200)
    assert answer.json()["y"] == 3
