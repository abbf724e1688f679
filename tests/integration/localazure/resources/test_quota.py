"""A local Azure with little quota, few requests to its management plane, and an identity-based datastore."""

import concurrent.futures
import contextlib
import datetime
import json
import math
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.ai.ml import load_online_deployment, load_online_endpoint
from azure.ai.ml.entities import Model
from azure.core.exceptions import HttpResponseError
from azure.identity import EnvironmentCredential
from azure.storage.blob import ContainerClient

from localazure.testing import LocalAzure
from saferollout.azure.client import Client
from saferollout.azure.collection import open_collections
from saferollout.config.project import resolve_workspace
from tests.support.localazure.arm import API_VERSION, Arm, reason, wait_for
from tests.support.localazure.sdk import export, sdk_client

pytestmark = pytest.mark.xdist_group("quota")  # each test goes on where the last one ended


@pytest.fixture(scope="module")
def small() -> Iterator[LocalAzure]:
    """Quota for two small deployments, and for few requests, bytes and connections; uploads go by tokens."""
    quota = ("deployments=2", "instances=3", "cores=16", "requests=5", "connections=12", "bandwidth=1")
    options = [part for name in quota for part in ("--quota", name)]
    options += ["--rate-limit", "deletes=6/12", "--datastore-auth", "identity"]
    with LocalAzure(None, "--timing", "instant", *options) as running:
        yield running


def test_out_of_quota_is_refused_as_on_azure(small: LocalAzure, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`OutOfQuota` for deployments, instances, cores: two times one instance of 4 cores takes 16, with the reserve."""
    client = sdk_client(small.environ, monkeypatch)
    client.online_endpoints.begin_create_or_update(load_online_endpoint(project / "endpoint.yml")).result()
    for name in ("blue", "green"):
        client.online_deployments.begin_create_or_update(
            load_online_deployment(project / f"{name}-deployment.yml")
        ).result()

    def refusal(name: str, count: int, instance_type: str = "Standard_DS3_v2") -> str:
        deployment = load_online_deployment(project / "blue-deployment.yml")
        deployment.name, deployment.instance_count, deployment.instance_type = name, count, instance_type
        with pytest.raises(HttpResponseError) as caught:
            client.online_deployments.begin_create_or_update(deployment).result()
        assert caught.value.error is not None
        (said,) = caught.value.error.details
        assert (caught.value.status_code, caught.value.error.code, said.code) == (400, "UserError", "OutOfQuota")
        return str(said.message)

    assert "at most 2 deployments" in refusal("yellow", 1)
    assert "limit of 3" in refusal("blue", 4)
    assert "needs 12 cores" in refusal("blue", 2)
    with Arm(small.environ) as arm:
        patched = arm.call("PATCH", "onlineEndpoints/scale/deployments/blue", {"sku": {"capacity": 2}})
        assert (patched.status_code, reason(patched)) == (400, "OutOfQuota")
        assert arm.get("onlineEndpoints/scale/deployments/blue")["sku"]["capacity"] == 1
        skus = arm.get("onlineEndpoints/scale/deployments/blue/skus")["value"]
        assert skus[0]["capacity"]["maximum"] == 3
        smaller = arm.get("onlineEndpoints/scale/deployments/green")
        smaller["properties"]["instanceType"] = "Standard_DS2_v2"
        path = "onlineEndpoints/scale/deployments/green"
        assert arm.run("PUT", path, smaller)["status"] == "Succeeded"
        smaller["sku"]["capacity"] = 3
        assert arm.run("PUT", path, smaller)["status"] == "Succeeded"


def test_clients_see_what_is_used_and_how_much_there_may_be(
    small: LocalAzure, azure: LocalAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By families: blue has 8 cores and green 8 by now, all of one family; without a limit the quota is -1."""
    client = sdk_client(small.environ, monkeypatch)
    sizes = {size.name: size for size in client.compute.list_sizes(compute_type="AmlCompute")}
    assert (sizes["Standard_DS3_v2"].family, sizes["Standard_DS3_v2"].vCPUs) == ("standardDSv2Family", 4)
    usages = {usage.name["value"]: usage for usage in client.compute.list_usage()}
    assert set(usages) == {size.family for size in sizes.values()}
    shown = {
        name: (usages[name].currentValue, usages[name].limit) for name in ("standardDSv2Family", "standardFSv2Family")
    }
    assert shown == {"standardDSv2Family": (16, 16), "standardFSv2Family": (0, 0)}
    seen = Client(resolve_workspace(None)).read_vm_sizes("local")["standard_ds3_v2"]
    assert (seen.used, seen.limit, seen.cores_of(1)) == (16, 16, 8)
    with Arm(azure.environ) as arm:
        places = arm.workspace.split("/resourceGroups/")[0] + "/providers/Microsoft.MachineLearningServices/locations"
        version = {"api-version": API_VERSION}
        unlimited = arm.http.get(f"{places}/local/usages", params=version).raise_for_status().json()
        assert {usage["limit"] for usage in unlimited["value"]} == {-1}
        refused = arm.http.get(f"{places}/eastus/usages", params=version)
        assert (refused.status_code, reason(refused)) == (400, "NoRegisteredProviderFound")


@pytest.mark.usefixtures("environment")
def test_without_secrets_clients_upload_by_a_token_for_storage(
    small: LocalAzure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK gets none from the datastore and signs in at the storage account, which refuses tokens for others."""
    client = sdk_client(small.environ, monkeypatch)
    file = tmp_path / "weights.bin"
    file.write_bytes(b"of an identity")
    registered = client.models.create_or_update(Model(name="by-identity", version="1", path=file))
    with Arm(small.environ) as arm:
        refused = arm.call("POST", "datastores/workspaceblobstore/listSecrets", {})
        assert (refused.status_code, "identity-based" in refused.text) == (400, True)
        store = arm.get("datastores/workspaceblobstore")["properties"]
        place = registered.path.partition("/paths/")[2]
        url = f"https://{store['accountName']}.blob.{store['endpoint']}/{store['containerName']}/{place}"
        tokens = {}
        for scope in ("https://storage.azure.com", arm.url):
            token = EnvironmentCredential(disable_instance_discovery=True).get_token(f"{scope}/.default").token
            tokens[scope] = arm.scoring.get(url, headers={"Authorization": f"Bearer {token}"})
        good, other = tokens.values()
        assert good.content == b"of an identity"
        assert (other.status_code, other.headers["x-ms-error-code"]) == (401, "InvalidAuthenticationInfo")


@pytest.mark.usefixtures("environment")
def test_what_is_collected_is_read_by_a_token_for_storage(small: LocalAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the datastore has no secrets, as for uploads."""
    export(small.environ, monkeypatch)
    with Arm(small.environ) as arm:
        path = "onlineEndpoints/scale/deployments/blue"
        blue = arm.get(path)
        collections = {"request": {"dataCollectionMode": "Enabled"}}
        blue["properties"]["dataCollector"] = {"collections": collections}
        assert arm.run("PUT", path, blue)["status"] == "Succeeded"
        store = arm.get("datastores/workspaceblobstore")["properties"]
    now = datetime.datetime.now(datetime.UTC)
    event = {"xrequestid": "a", "time": f"{now:%Y-%m-%dT%H:%M:%SZ}", "data": [1]}
    address = f"https://{store['accountName']}.blob.{store['endpoint']}/{store['containerName']}"
    with ContainerClient.from_container_url(address, EnvironmentCredential(disable_instance_discovery=True)) as blobs:
        blobs.upload_blob(f"modelDataCollector/scale/blue/request/{now:%Y/%m/%d/%H}/a.jsonl", json.dumps(event))

    found = open_collections(resolve_workspace(None), "scale", "blue")["request"]

    assert [each.id for each in found.events(now - datetime.timedelta(hours=1))] == ["a"]


def test_an_empty_bucket_is_429_until_it_fills_again(small: LocalAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the seconds to wait, which the SDK does; other kinds of requests go on."""
    with Arm(small.environ) as arm:
        started = time.monotonic()
        while (refused := arm.call("DELETE", "onlineEndpoints/none")).status_code != 429:
            assert refused.status_code == 204
        took_s = time.monotonic() - started  # what has come back meanwhile need not be waited for
        assert max(1, math.ceil(2 - took_s)) <= int(refused.headers["Retry-After"]) <= 2
        assert reason(refused) == "SubscriptionRequestsThrottled"
        assert refused.headers["x-ms-ratelimit-remaining-subscription-deletes"] == "0"
        assert arm.call("GET", "onlineEndpoints").status_code == 200
        sdk_client(small.environ, monkeypatch).online_endpoints.begin_delete("none").result()


def test_more_requests_a_second_than_the_quota_are_429(small: LocalAzure) -> None:
    """With a code of its own; a second later requests are answered again."""
    with Arm(small.environ) as arm:
        endpoint = arm.get("onlineEndpoints/scale")["properties"]["scoringUri"]
        headers = {"Authorization": f"Bearer {arm.key('scale')}", "azureml-model-deployment": "blue"}

        def score(_: int = 0) -> httpx.Response:
            return arm.scoring.post(endpoint, json={}, headers=headers)

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(score, range(40)))
        refused = [answer for answer in answers if answer.status_code == 429]
        assert "RateLimitExceeded" in {answer.json()["error"]["code"] for answer in refused}
        assert any(answer.status_code == 200 for answer in answers)
        wait_for(lambda: score().status_code, lambda status: status == 200, timeout_s=20)


@pytest.mark.usefixtures("environment")
def test_more_bytes_a_second_than_the_quota_are_delayed(small: LocalAzure) -> None:
    """Nothing is refused; copies for the mirror count as well, and the log tells how long was waited."""
    with Arm(small.environ) as arm:
        uri = arm.endpoint("scale", traffic={"blue": 100}, mirrorTraffic={"green": 50})
        headers = {"Authorization": f"Bearer {arm.key('scale')}"}
        log = small.state_dir / "traffic.jsonl"
        begun = datetime.datetime.now(datetime.UTC)

        def rows() -> list[dict[str, Any]]:
            found = map(json.loads, log.read_text().splitlines())  # those of earlier tests come late, too
            return [row for row in found if datetime.datetime.fromisoformat(row["time"]) > begun]

        started = time.monotonic()
        while sum(row["mirrored"] for row in rows()) < 3:
            assert arm.scoring.post(uri, json={"pad": "a" * 500_000}, headers=headers).status_code == 200
        took_s, seen = time.monotonic() - started, rows()
    megabytes = sum(row["request_bytes"] + row["response_bytes"] for row in seen) / 1e6
    assert took_s > 0.9 * (megabytes - 1)  # a second's worth is there at first
    assert {row["response_code"] for row in seen} == {200}
    assert sum(int(row["request_delay_ms"] or 0) for row in seen) > 0


@pytest.mark.usefixtures("environment")
def test_a_kubernetes_endpoint_is_not_held_to_requests_and_bytes(small: LocalAzure) -> None:
    """What a managed one takes twenty-four seconds for takes no longer than it takes."""
    with Arm(small.environ) as arm:
        compute = f"{arm.workspace}/computes/my-cluster"
        arm.endpoint("cluster", compute=compute)
        like = arm.get("onlineEndpoints/scale/deployments/blue")["properties"]
        properties = {key: like[key] for key in ("model", "codeConfiguration", "environmentId")}
        properties |= {"endpointComputeType": "Kubernetes", "requestSettings": {"requestTimeout": "PT60S"}}
        body = {"location": "local", "properties": properties}
        assert arm.run("PUT", "onlineEndpoints/cluster/deployments/blue", body)["status"] == "Succeeded"
        uri = arm.endpoint("cluster", compute=compute, traffic={"blue": 100})
        headers = {"Authorization": f"Bearer {arm.key('cluster')}"}
        started = time.monotonic()
        for _ in range(6):
            assert arm.scoring.post(uri, json={"pad": "a" * 4_000_000}, headers=headers).status_code == 200
        assert time.monotonic() - started < 23
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: arm.scoring.post(uri, json={}, headers=headers), range(40)))
        assert "RateLimitExceeded" not in {answer.json().get("error", {}).get("code") for answer in answers}
        assert arm.run("DELETE", "onlineEndpoints/cluster")["status"] == "Succeeded"


def test_more_connections_than_the_quota_are_closed(small: LocalAzure) -> None:
    """Before anything is said; when others have ended, new ones are taken again."""
    with Arm(small.environ) as arm:
        uri = httpx.URL(arm.endpoint("crowded"))

        def connections() -> int:
            """How many can be open at once."""
            with contextlib.ExitStack() as stack:
                for count in range(20):
                    try:
                        plain = stack.enter_context(socket.create_connection((uri.host, uri.port), timeout=10))
                        stack.enter_context(arm.tls.wrap_socket(plain, server_hostname=uri.host))
                    except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError):
                        return count
            return 20

        for _ in range(2):  # of the first time, and of other tests, some may not have ended yet
            wait_for(connections, lambda count: count == 12, timeout_s=20)
