"""The management plane as a whole: who may use it, what it does not know, and what survives it."""

import json
import stat

import httpx
import psutil
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential

from localazure.testing import LocalAzure
from tests.support.localazure.arm import API_VERSION, Arm, Assets, wait_for


def test_a_request_without_a_valid_token_is_401(arm: Arm) -> None:
    """In ARM's envelope, so that clients show the reason."""
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic abc"}):
        url = f"{arm.url}{arm.workspace}/onlineEndpoints?api-version={API_VERSION}"
        answer = httpx.get(url, headers=headers, verify=arm.tls)
        assert answer.status_code == 401
        assert answer.json()["error"]["message"]


def test_a_wrong_secret_gets_no_token(azure: LocalAzure) -> None:
    """azure-identity says so, in Entra's words."""
    environ = azure.environ
    credential = ClientSecretCredential(
        environ["AZURE_TENANT_ID"],
        environ["AZURE_CLIENT_ID"],
        "wrong",
        authority=environ["AZURE_AUTHORITY_HOST"],
        disable_instance_discovery=True,
    )
    with credential, pytest.raises(ClientAuthenticationError, match="Invalid client secret"):
        credential.get_token(f"{environ['AZURE_AUTHORITY_HOST']}/.default")


def test_what_local_azure_does_not_know_is_501(arm: Arm) -> None:
    """Never a silent success, and never a 404, which would mean that it is gone."""
    for method, path in (
        ("DELETE", "models/any"),
        ("GET", "jobs"),
        ("PUT", "computes/x"),
        ("POST", "onlineEndpoints/a/nonsense"),
    ):
        answer = arm.call(method, path, {} if method != "GET" else None)
        assert (answer.status_code, answer.json()["error"]["code"]) == (501, "NotImplemented")


def test_other_workspaces_do_not_exist(arm: Arm) -> None:
    """404 with the code that says what is missing."""
    codes = []
    for old in (arm.environ["AZURE_SUBSCRIPTION_ID"], "/resourceGroups/local", "/workspaces/local"):
        path = arm.workspace.replace(old, old.replace("local", "") + "other")
        codes.append((arm.http.get(path).status_code, arm.http.get(path).json()["error"]["code"]))
    assert codes == [
        (404, "SubscriptionNotFound"),
        (404, "ResourceGroupNotFound"),
        (404, "ResourceNotFound"),
    ]


def test_broken_bodies_are_refused(arm: Arm) -> None:
    """400 for what is no JSON object, 413 for what is far too big."""
    url = f"{arm.workspace}/onlineEndpoints/broken"
    assert arm.http.put(url, content=b"{").status_code == 400
    assert arm.http.put(url, content=b"[]").status_code == 400
    assert arm.http.put(url, content=json.dumps({"tags": {"a": "b" * 5_000_000}})).status_code == 413


def test_every_answer_carries_request_ids(arm: Arm) -> None:
    """And the client's own, if it asks for that."""
    known = {"x-ms-client-request-id": "mine"}
    answer = arm.http.get(arm.workspace, headers=known)
    assert answer.headers["x-ms-request-id"] == answer.headers["x-ms-correlation-request-id"]
    assert "x-ms-client-request-id" not in answer.headers
    answer = arm.http.get(arm.workspace, headers={**known, "x-ms-return-client-request-id": "true"})
    assert answer.headers["x-ms-client-request-id"] == "mine"


def test_secrets_are_the_owner_s_alone(azure: LocalAzure) -> None:
    """The server's key, the client secret, the endpoints' keys: nobody else on the machine reads them."""
    private = ["tls/server-key.pem", "environment.json", "identity.json", "gateway/xds/live.json"]
    for name in private:
        assert stat.S_IMODE((azure.state_dir / name).stat().st_mode) == 0o600, name
    assert not any(b"PRIVATE" in path.read_bytes() for path in (azure.state_dir / "tls").glob("authority*"))


def test_everything_listens_on_loopback_only(azure: LocalAzure, arm: Arm, assets: Assets) -> None:
    """Envoy, the management plane and the inference servers."""
    arm.endpoint("loopback")
    arm.deploy("loopback", "blue", assets)
    family = [psutil.Process(azure.pid), *psutil.Process(azure.pid).children(recursive=True)]
    listening = {
        connection.laddr.ip
        for process in family
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    arm.run("DELETE", "onlineEndpoints/loopback")


def test_the_gateway_is_started_again_when_it_dies(azure: LocalAzure, arm: Arm, assets: Assets) -> None:
    """On the same port, with the same routes; the new one follows changes as the old one did."""
    arm.endpoint("revived")
    arm.deploy("revived", "blue", assets)
    arm.endpoint("revived", traffic={"blue": 100})
    children = psutil.Process(azure.pid).children(recursive=True)
    (envoy,) = [child for child in children if child.name() == "envoy"]
    envoy.kill()
    psutil.wait_procs([envoy], timeout=10)

    def status() -> int:
        try:
            return arm.score("revived", {}).status_code
        except httpx.TransportError:
            return 0

    wait_for(status, lambda seen: seen == 200)
    for traffic, seen in (({"blue": 0}, 404), ({"blue": 100}, 200)):
        arm.endpoint("revived", traffic=traffic)
        assert status() == seen
    arm.run("DELETE", "onlineEndpoints/revived")
