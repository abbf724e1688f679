"""Faults on demand, as clients meet them."""

import contextlib
import functools
import http.client
import itertools
import operator
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import ManagedOnlineEndpoint, Model
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

from localazure.chaos import AdminError, Chaos, NotHit
from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, Assets, wait_for

ENDPOINT = "onlineEndpoints/faulty"
BODY = {"location": "local", "properties": {"authMode": "Key"}}


@pytest.fixture
def chaos(azure: LocalAzure, arm: Arm) -> Iterator[Chaos]:
    """An endpoint without deployments, and no faults left behind."""
    arm.endpoint("faulty")
    yield azure.chaos
    azure.chaos.clear()
    arm.http.headers["Authorization"] = f"Bearer {arm.token()}"
    wait_for(lambda: arm.get(ENDPOINT)["properties"]["provisioningState"], lambda seen: seen in ("Succeeded", "Failed"))


def state(arm: Arm, below: str = "") -> str:
    """Of the endpoint, or of what is below it."""
    return str(arm.get(ENDPOINT + below)["properties"]["provisioningState"])


def test_the_sdk_gets_over_an_answer_that_asks_to_come_again(chaos: Chaos, client: MLClient) -> None:
    """503 with Retry-After, twice: the third request is let through, and the caller does not notice."""
    with chaos.answer(503, method="PUT", path="onlineEndpoints/*", retry_after_s=1, times=2) as fault:
        started = time.monotonic()
        client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name="faulty", tags={"a": "1"})).result()
        assert time.monotonic() - started > 2
    assert fault.hits == 2
    assert client.online_endpoints.get("faulty").tags == {"a": "1"}


def test_a_fault_is_for_method_path_and_count(chaos: Chaos, arm: Arm) -> None:
    """Others pass, so do those before it and those after; without Retry-After unless asked for."""
    chaos.answer(429, code="TooManyRequests", method="GET", path="onlineEndpoints/fau*", skip=1, times=1)
    assert arm.call("GET", "onlineEndpoints").status_code == 200
    assert arm.call("POST", f"{ENDPOINT}/listKeys").status_code == 200
    statuses = [arm.call("GET", ENDPOINT) for _ in range(3)]
    assert [answer.status_code for answer in statuses] == [200, 429, 200]
    assert statuses[1].json()["error"]["code"] == "TooManyRequests"
    assert "Retry-After" not in statuses[1].headers


@pytest.mark.parametrize(("after", "tags"), [(False, {}), (True, {"x": "1"})])
def test_an_answer_and_a_reset_come_before_or_after_the_change(
    after: bool, tags: dict[str, str], chaos: Chaos, arm: Arm
) -> None:
    """The client knows as little as with Azure; what was done can be read."""
    arm.endpoint("faulty")
    with chaos.answer(500, after=after, method="PUT"):
        assert arm.call("PUT", ENDPOINT, {**BODY, "tags": {"x": "1"}}).status_code == 500
    wait_for(lambda: state(arm), lambda seen: seen == "Succeeded")
    assert arm.get(ENDPOINT)["tags"] == tags
    arm.endpoint("faulty")
    with chaos.reset(after=after, method="PUT"), pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        arm.call("PUT", ENDPOINT, {**BODY, "tags": {"x": "1"}})
    wait_for(lambda: state(arm), lambda seen: seen == "Succeeded")
    assert arm.get(ENDPOINT)["tags"] == tags


def test_latency(chaos: Chaos, arm: Arm) -> None:
    """The request waits, and is then answered as ever."""
    with chaos.delay(0.5, path="/**/onlineEndpoints/faulty"):
        started = time.monotonic()
        assert arm.call("GET", ENDPOINT).status_code == 200
        assert time.monotonic() - started >= 0.5


def test_an_operation_that_fails_for_the_sdk(chaos: Chaos, client: MLClient, arm: Arm) -> None:
    """`.result()` raises with the code; before it took effect all is as it was, but for the state."""
    with chaos.fail("OperationCanceled", "Canceled by the service.", method="PUT", path=ENDPOINT):
        poller = client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name="faulty", tags={"b": "1"}))
        with pytest.raises(HttpResponseError) as caught:
            poller.result()
    assert caught.value.error is not None
    assert caught.value.error.code == "OperationCanceled"
    assert (state(arm), arm.get(ENDPOINT)["tags"]) == ("Failed", {})
    arm.endpoint("faulty")
    with chaos.fail(after=True, method="PUT"):
        assert arm.run("PUT", ENDPOINT, {**BODY, "tags": {"b": "1"}})["status"] == "Failed"
    assert (state(arm), arm.get(ENDPOINT)["tags"]) == ("Failed", {"b": "1"})
    arm.endpoint("faulty")
    assert state(arm) == "Succeeded"


def test_an_endpoint_whose_creation_failed_is_there_and_disturbs_no_other(chaos: Chaos, arm: Arm) -> None:
    """Failed, as on Azure; it can be created again, or deleted."""
    path = "onlineEndpoints/stillborn"
    with chaos.fail(method="PUT", path=path, times=2):
        for _ in range(2):
            assert arm.run("PUT", path, BODY)["status"] == "Failed"
            assert arm.get(path)["properties"]["provisioningState"] == "Failed"
            arm.endpoint("faulty")
    assert arm.score("stillborn", {}).status_code == 404
    assert arm.run("PUT", path, BODY)["status"] == "Succeeded"
    assert arm.run("DELETE", path)["status"] == "Succeeded"


def test_an_operation_that_does_not_end(chaos: Chaos, arm: Arm) -> None:
    """Others are refused meanwhile; with the fault gone it goes on."""
    with chaos.hang(method="PUT", path=ENDPOINT) as fault:
        answer = arm.call("PUT", ENDPOINT, BODY)
        fault.wait()
        assert arm.http.get(answer.headers["Azure-AsyncOperation"]).json()["status"] == "Updating"
        assert arm.call("PUT", ENDPOINT, BODY).status_code == 409
        assert state(arm) == "Updating"
    wait_for(lambda: state(arm), lambda seen: seen == "Succeeded")


def test_stale_reads(chaos: Chaos, arm: Arm) -> None:
    """GET, of one and of all, lags behind by some seconds; then it catches up."""
    lagging, unseen = "onlineEndpoints/lagging", "onlineEndpoints/unseen"
    arm.endpoint("lagging")  # one whose past has no other tags
    with chaos.stale(3, path="onlineEndpoints**") as fault:
        wait_for(lambda: arm.call("GET", lagging).status_code, lambda seen: seen == 200)
        for number in itertools.count():
            before, new = arm.get(lagging)["tags"], {"new": str(number)}
            started = time.monotonic()
            arm.call("PUT", lagging, {**BODY, "tags": new})
            arm.call("PUT", unseen, BODY)
            after_put = arm.get(lagging)["tags"], arm.call("GET", unseen).status_code
            took_s = time.monotonic() - started
            wait_for(lambda: arm.get(lagging)["tags"], functools.partial(operator.eq, new))
            wait_for(lambda: arm.call("GET", unseen).status_code, lambda seen: seen == 200)
            started = time.monotonic()
            arm.call("DELETE", unseen)
            after_delete = [found["name"] for found in arm.get("onlineEndpoints")["value"]]
            took_s = max(took_s, time.monotonic() - started)
            wait_for(lambda: arm.call("GET", unseen).status_code, lambda seen: seen == 404)
            if took_s < 3:  # a round that took longer shows nothing
                break
        assert after_put == (before, 404)
        assert "unseen" in after_delete
    assert fault.hits > 3
    arm.run("DELETE", lagging)


def test_tokens_that_expire(chaos: Chaos, arm: Arm, client: MLClient) -> None:
    """Those that were issued are refused; clients whose tokens live shortly ask for a new one each time."""
    chaos.expire_tokens(life_s=60)
    answer = arm.call("GET", ENDPOINT)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "ExpiredAuthenticationToken")
    assert client.online_endpoints.get("faulty").name == "faulty"
    chaos.expire_tokens()
    client.online_endpoints.get("faulty")
    chaos.expire_tokens()
    with pytest.raises(ClientAuthenticationError):
        client.online_endpoints.get("faulty")


def test_another_writer_changes_traffic_and_keys(chaos: Chaos, arm: Arm, assets: Assets) -> None:
    """What a client read before is no longer so."""
    arm.deploy("faulty", "blue", assets)
    old = arm.key("faulty")
    chaos.set_traffic("faulty", {"blue": 100}, tags={"by": "another"})
    assert arm.get(ENDPOINT)["properties"]["traffic"] == {"blue": 100}
    assert arm.get(ENDPOINT)["tags"] == {"by": "another"}
    chaos.rotate_key("faulty")
    assert arm.key("faulty") != old
    refused = arm.scoring.post(
        arm.get(ENDPOINT)["properties"]["scoringUri"], json={}, headers={"Authorization": f"Bearer {old}"}
    )
    assert refused.status_code == 401
    with pytest.raises(AdminError, match="sum"):
        chaos.set_traffic("faulty", {"blue": 50})
    before = arm.score("faulty", {}).json()["pid"]
    chaos.kill_instance("faulty", "blue")
    after = wait_for(
        lambda: arm.score("faulty", {}), lambda seen: seen.status_code == 200 and seen.json()["pid"] != before
    )
    assert after.json()["y"] == 2
    with pytest.raises(AdminError, match="no instance"):
        chaos.kill_instance("faulty", "green")


def test_an_outage_of_scoring_is_500(chaos: Chaos, arm: Arm, assets: Assets) -> None:
    """For all who may score, pinned or not, as when Azure's own infrastructure fails; other endpoints go on."""
    arm.endpoint("spared")
    for name in ("faulty", "spared"):
        arm.deploy(name, "blue", assets)
        arm.endpoint(name, traffic={"blue": 100})
    uri = arm.get(ENDPOINT)["properties"]["scoringUri"]
    with chaos.outage("faulty"):
        for pin in (None, "blue"):
            answer = arm.score("faulty", {}, pin)
            assert (answer.status_code, answer.json()["error"]["code"]) == (500, "InternalServerError")
            assert "ms-azureml-model-error-statuscode" not in answer.headers
        assert arm.scoring.post(uri, json={}).status_code == 401
        assert arm.score("spared", {}).status_code == 200
    assert arm.score("faulty", {}).status_code == 200
    chaos.ask("POST", "/endpoints/faulty/outage")
    chaos.clear()
    assert arm.score("faulty", {}).status_code == 200
    with pytest.raises(AdminError, match="nowhere"), chaos.outage("nowhere"):
        pass
    chaos.ask("POST", "/endpoints/spared/outage")
    arm.run("DELETE", "onlineEndpoints/spared")
    arm.endpoint("spared")
    assert arm.score("spared", {}).status_code == 404
    arm.run("DELETE", "onlineEndpoints/spared")
    arm.endpoint("faulty", traffic={})
    arm.run("DELETE", f"{ENDPOINT}/deployments/blue")


def test_a_full_disk(chaos: Chaos, arm: Arm, assets: Assets, client: MLClient, tmp_path: Path) -> None:
    """Uploads are refused at once, deployments fail with what is wrong; afterwards both work."""
    file = tmp_path / "model.json"
    file.write_text('{"factor": 7}')
    path = f"{ENDPOINT}/deployments/large"
    with chaos.disk_full():
        with pytest.raises(Exception, match=r"no space left|InsufficientStorage"):
            client.models.create_or_update(Model(name="large", version="1", path=file))
        ended = arm.run("PUT", path, arm.deployment(assets))
        assert (ended["status"], ended["error"]["code"]) == ("Failed", "OutOfQuota")
        assert "disk" in ended["error"]["message"]
    client.models.create_or_update(Model(name="large", version="1", path=file))
    arm.deploy("faulty", "large", assets)
    arm.run("DELETE", path)


def test_the_admin_api_needs_its_own_token(azure: LocalAzure, arm: Arm) -> None:
    """A token of the management plane is none, and no fault keeps from ending faults."""
    url = azure.environ["LOCALAZURE_ADMIN_URL"] + "/faults"
    for headers in ({}, {"Authorization": arm.http.headers["Authorization"]}):
        for method in ("GET", "POST", "DELETE"):
            assert httpx.request(method, url, headers=headers, verify=arm.tls).status_code == 401
    azure.chaos.answer(503, times=None)
    assert arm.call("GET", ENDPOINT).status_code == 503
    azure.chaos.clear()
    assert arm.call("GET", "onlineEndpoints").status_code == 200


def test_what_is_no_fault_is_refused(chaos: Chaos) -> None:
    """With the key that is wrong; and a test that waits for a fault in vain is told so."""
    with pytest.raises(AdminError, match="status"):
        chaos.answer(200)
    with pytest.raises(AdminError, match="kind"):
        chaos.ask("POST", "/faults", {"kind": "flood"})
    with pytest.raises(AdminError, match=r"management port.*kill an instance"):
        chaos.answer(500, path="/endpoints/faulty/score")
    for path in ("/Endpoints/**", "/endpoints**", "/localazure/faults", "/localazure**", "/metrics", "/"):
        with pytest.raises(AdminError, match="path"):
            chaos.delay(1, path=path)
    with pytest.raises(AdminError, match="for GET, not for PUT"):
        chaos.stale(1, method="PUT")
    for operation in (chaos.hang, chaos.fail):
        with pytest.raises(AdminError, match="GET starts none"):
            operation(method="GET")
    with chaos.reset(path="nowhere") as fault, pytest.raises(NotHit, match="0 times"):
        fault.wait(timeout_s=0.1)


def test_the_control_plane_dies_and_the_gateway_lives(chaos: Chaos, arm: Arm, assets: Assets) -> None:
    """It is away, with all connections and operations; what was under way goes on when it is back. Scoring goes on."""
    arm.deploy("faulty", "blue", assets)
    arm.endpoint("faulty", traffic={"blue": 100})
    uri, headers = arm.get(ENDPOINT)["properties"]["scoringUri"], {"Authorization": f"Bearer {arm.key('faulty')}"}
    scored: list[int] = []
    ended = threading.Event()

    def score() -> None:
        while not ended.wait(0.05):
            scored.append(arm.scoring.post(uri, json={}, headers=headers).status_code)

    users = threading.Thread(target=score)
    users.start()
    try:
        chaos.hang(method="PATCH", path=f"{ENDPOINT}/deployments/blue")  # the crash ends it: it is under way for sure
        arm.call("PATCH", f"{ENDPOINT}/deployments/blue", {"sku": {"name": "Default", "capacity": 2}})
        before = len(scored)
        place = httpx.URL(arm.url)
        connection = http.client.HTTPSConnection(place.host, place.port, timeout=60, context=arm.tls)
        connection.request("GET", "/")
        connection.getresponse().read()
        crashing = threading.Thread(target=chaos.crash, args=(3,))
        crashing.start()
        with contextlib.suppress(ConnectionResetError):
            assert connection.sock.recv(1) == b""
        assert is_away(arm)
        crashing.join()
        connection.close()
        wait_for(lambda: state(arm, "/deployments/blue"), lambda seen: seen == "Succeeded")
    finally:
        ended.set()
        users.join()
    assert set(scored) == {200}
    assert len(scored) > before
    assert arm.get(f"{ENDPOINT}/deployments/blue")["sku"]["capacity"] == 2
    with pytest.raises(AdminError, match="away_s must be a number from 0 to 60, not 61"):
        chaos.crash(61)
    arm.endpoint("faulty", traffic={})


def is_away(arm: Arm) -> bool:
    """Whether nobody answers."""
    try:
        arm.call("GET", ENDPOINT)
    except httpx.TransportError:
        return True
    return False
