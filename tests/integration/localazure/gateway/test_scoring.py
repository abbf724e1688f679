"""The data plane: who may score, who answers, and what goes wrong with which status."""

import concurrent.futures
import json
from collections.abc import Iterator

import httpx
import pytest

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, Assets, wait_for


@pytest.fixture(scope="module")
def endpoint(arm: Arm, assets: Assets) -> Iterator[str]:
    """An endpoint with two deployments; blue has all traffic, green answers fast or not at all."""
    arm.endpoint("scoring")
    arm.deploy("scoring", "blue", assets)
    arm.deploy(
        "scoring",
        "green",
        assets,
        model=2,
        requestSettings={"maxConcurrentRequestsPerInstance": 1, "requestTimeout": "PT0.5S"},
    )
    arm.endpoint("scoring", traffic={"blue": 100})
    yield "scoring"
    arm.run("DELETE", "onlineEndpoints/scoring")


def test_traffic_and_the_pinning_header_choose_the_deployment(arm: Arm, endpoint: str) -> None:
    """Unpinned requests follow the traffic; pinned ones reach a deployment without any."""
    unpinned = arm.score(endpoint, {"x": 5})
    assert (unpinned.status_code, unpinned.json()["y"]) == (200, 10)
    pinned = wait_for(lambda: arm.score(endpoint, {"x": 5}, "green"), lambda answer: answer.status_code == 200)
    assert pinned.json()["y"] == 15
    assert pinned.headers["azureml-model-deployment"] == "green"


def test_both_keys_are_good_and_others_are_not(arm: Arm, endpoint: str) -> None:
    """401 for a missing, a wrong and another scheme's key; a regenerated key replaces the old one at once."""
    url = arm.get(f"onlineEndpoints/{endpoint}")["properties"]["scoringUri"]
    keys = arm.call("POST", f"onlineEndpoints/{endpoint}/listKeys").json()

    def status(authorization: str | None) -> int:
        headers = {"Authorization": authorization} if authorization else {}
        return arm.scoring.post(url, json={}, headers=headers).status_code

    assert [status(f"Bearer {keys[name]}") for name in ("primaryKey", "secondaryKey")] == [200, 200]
    wrong = [None, "Bearer", "Bearer nonsense", f"Basic {keys['primaryKey']}", f"Bearer {keys['primaryKey']}x"]
    assert [status(authorization) for authorization in wrong] == [401] * len(wrong)
    ended = arm.run("POST", f"onlineEndpoints/{endpoint}/regenerateKeys", {"keyType": "Secondary"})
    assert ended["status"] == "Succeeded"
    renewed = arm.call("POST", f"onlineEndpoints/{endpoint}/listKeys").json()
    assert renewed["primaryKey"] == keys["primaryKey"]
    assert status(f"Bearer {keys['secondaryKey']}") == 401
    assert status(f"Bearer {renewed['secondaryKey']}") == 200


def test_a_request_for_a_new_key_that_takes_its_time_undoes_no_other_change(arm: Arm, endpoint: str) -> None:
    """What was changed between its first byte and its last one stays so."""
    old = arm.key(endpoint)

    def slowly() -> Iterator[bytes]:
        yield b'{"keyType": '
        ended = arm.run("PATCH", f"onlineEndpoints/{endpoint}", {"tags": {"changed": "meanwhile"}})
        assert ended["status"] == "Succeeded"
        yield b'"Primary"}'

    url = f"{arm.workspace}/onlineEndpoints/{endpoint}/regenerateKeys"
    assert arm.http.post(url, content=slowly(), params={"api-version": "2025-12-01"}).status_code == 202
    wait_for(lambda: arm.key(endpoint), lambda key: key != old)
    assert arm.get(f"onlineEndpoints/{endpoint}")["tags"] == {"changed": "meanwhile"}
    wait_for(lambda: arm.get(f"onlineEndpoints/{endpoint}")["properties"]["provisioningState"] == "Succeeded")


def test_a_pin_to_an_unknown_deployment_is_404(arm: Arm, endpoint: str) -> None:
    """Not answered by another deployment instead."""
    answer = arm.score(endpoint, {}, "purple")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "DeploymentNotFound"


def test_an_endpoint_without_traffic_is_404(arm: Arm) -> None:
    """As long as no deployment has positive weight."""
    arm.endpoint("empty")
    assert arm.score("empty", {}).status_code == 404
    arm.run("DELETE", "onlineEndpoints/empty")


def test_run_that_raises_is_424_with_the_container_s_status(arm: Arm, endpoint: str) -> None:
    """The container's own 500 stands in a header, its body is passed on."""
    answer = arm.score(endpoint, {"raise": "bad row"})
    assert answer.status_code == 424
    assert answer.headers["ms-azureml-model-error-statuscode"] == "500"
    assert answer.headers["ms-azureml-model-error-reason"]


def test_a_request_that_takes_too_long_is_408(arm: Arm, endpoint: str) -> None:
    """By the deployment's own request_timeout_ms."""
    answer = arm.score(endpoint, {"sleep_s": 1}, "green")
    assert answer.status_code == 408


def test_too_many_pending_requests_are_429(arm: Arm, endpoint: str) -> None:
    """More than twice what the instances may do at once; the others are answered, or time out in the queue.

    Bursts whose requests are cut off leave no connection behind that would block the instance: it answers again.
    """

    def status(sleep_s: float = 0) -> int:
        try:
            return arm.score(endpoint, {"sleep_s": sleep_s}, "green").status_code
        except httpx.RemoteProtocolError:  # its time was over between the headers and the end of its answer
            return 408

    for _ in range(4):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(status, [0.3] * 8))
        assert 429 in answers
        assert set(answers) <= {200, 408, 429}
        wait_for(status, lambda answer: answer == 200, timeout_s=20)


def test_the_swagger_page_is_there_for_those_who_may_score(arm: Arm, endpoint: str) -> None:
    """At `swaggerUri`, by the deployment that has the traffic."""
    uri = arm.get(f"onlineEndpoints/{endpoint}")["properties"]["swaggerUri"]
    answer = arm.scoring.get(uri, headers={"Authorization": f"Bearer {arm.key(endpoint)}"})
    assert (answer.status_code, answer.json()["swagger"]) == (200, "2.0")
    assert arm.scoring.get(uri).status_code == 401


def test_request_ids_are_as_on_azure(arm: Arm, endpoint: str) -> None:
    """The gateway gives every request an id of its own and keeps the client's."""
    answer = arm.score(endpoint, {}, **{"x-request-id": "mine", "x-ms-client-request-id": "my-request_1"})
    assert answer.headers["x-request-id"] != "mine"
    assert answer.headers["x-ms-client-request-id"] == "my-request_1"
    assert "ms-azureml-model-time" not in answer.headers
    for wrong in ("a b", "a" * 41, "a.b"):
        assert arm.score(endpoint, {}, **{"x-ms-client-request-id": wrong}).status_code == 400
    assert arm.score(endpoint, {}, **{"x-ms-client-request-id": "a" * 40}).status_code == 200


def test_every_request_is_in_the_traffic_log(azure: LocalAzure, arm: Arm, endpoint: str) -> None:
    """As JSON, with the deployment, the status to the client and the model's own."""
    answer = wait_for(lambda: arm.score(endpoint, {}, "green"), lambda answer: answer.status_code == 200)
    good = answer.headers["x-request-id"]
    bad = arm.score(endpoint, {"raise": "x"}).headers["x-request-id"]

    def rows() -> dict[str, dict[str, object]]:
        lines = (azure.state_dir / "traffic.jsonl").read_text().splitlines()
        return {row["request_id"]: row for row in map(json.loads, lines)}

    found = wait_for(rows, lambda seen: {good, bad} <= set(seen))
    assert (found[good]["deployment"], found[good]["response_code"]) == ("green", 200)
    assert (found[bad]["deployment"], found[bad]["response_code"]) == ("blue", 424)
    assert found[bad]["model_status_code"] == "500"


def test_traffic_is_shared_as_set(arm: Arm, assets: Assets) -> None:
    """90/10 within what chance allows (three deployments, so that the running sums count)."""
    uri = arm.endpoint("shares")
    for name, model in (("one", 1), ("two", 2), ("three", 2)):
        arm.deploy("shares", name, assets, model=model)
    arm.endpoint("shares", traffic={"one": 70, "two": 20, "three": 10})
    headers = {"Authorization": f"Bearer {arm.key('shares')}"}
    with httpx.Client(verify=arm.tls, headers=headers) as http:
        seen = [http.post(uri, json={}).headers["azureml-model-deployment"] for _ in range(600)]
    counts = [seen.count(name) for name in ("one", "two", "three")]
    for count, expected in zip(counts, (420, 120, 60), strict=True):
        assert abs(count - expected) < 5 * (expected * (1 - expected / 600)) ** 0.5
    arm.run("DELETE", "onlineEndpoints/shares")


def test_mirrored_requests_reach_the_other_deployment_and_their_answers_are_dropped(arm: Arm, assets: Assets) -> None:
    """The user gets the live answer; the mirror's container log shows the copies."""
    arm.endpoint("mirror")
    for name, model in (("blue", 1), ("green", 2)):
        arm.deploy("mirror", name, assets, model=model)
    arm.endpoint("mirror", traffic={"blue": 100}, mirrorTraffic={"green": 50})
    answers = [arm.score("mirror", {"x": 1}) for _ in range(40)]
    assert {answer.json()["y"] for answer in answers} == {2}

    def copies() -> int:
        logs = arm.call("POST", "onlineEndpoints/mirror/deployments/green/getLogs", {"tail": 1000}).json()["content"]
        return int(logs.count("gunicorn.access - 127.0.0.1"))

    assert 5 <= wait_for(copies, lambda count: count >= 5) <= 35
    arm.run("DELETE", "onlineEndpoints/mirror")


def test_requests_that_are_pinned_are_not_mirrored(azure: LocalAzure, arm: Arm, assets: Assets) -> None:
    """A copy has its original's id, and those that green gets are of requests that follow the traffic."""
    arm.endpoint("pinning")
    for name in ("blue", "green"):
        arm.deploy("pinning", name, assets)
    arm.endpoint("pinning", traffic={"blue": 100}, mirrorTraffic={"green": 50})

    def copied() -> set[str]:
        rows = [json.loads(line) for line in (azure.state_dir / "traffic.jsonl").read_text().splitlines()]
        return {row["request_id"] for row in rows if row["endpoint"] == "pinning" and row["deployment"] == "green"}

    pinned = {arm.score("pinning", {}, "blue").headers["x-request-id"] for _ in range(30)}
    following: set[str] = set()

    def score() -> set[str]:
        following.add(arm.score("pinning", {}).headers["x-request-id"])
        return copied()

    seen = wait_for(score, lambda ids: len(ids) >= 10)
    assert seen <= following
    assert not seen & pinned
    arm.run("DELETE", "onlineEndpoints/pinning")
