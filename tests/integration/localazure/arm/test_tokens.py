"""Endpoints that want a token and no key: their own (`aml_token`), or Microsoft Entra's (`aad_token`)."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import ManagedOnlineEndpoint
from azure.core.exceptions import HttpResponseError
from azure.identity import EnvironmentCredential
from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, Assets, wait_for

PLACE: dict[str, Any] = {"resource_group_name": "local", "workspace_name": "local"}


@pytest.fixture(scope="module")
def endpoints(arm: Arm, assets: Assets) -> Iterator[tuple[str, str]]:
    """One endpoint of each kind, both with a deployment."""
    for name, mode in (("own-tokens", "AMLToken"), ("entra-tokens", "AADToken")):
        arm.endpoint(name, authMode=mode)
        arm.deploy(name, "blue", assets)
        arm.endpoint(name, authMode=mode, traffic={"blue": 100})
    yield "own-tokens", "entra-tokens"
    for name in ("own-tokens", "entra-tokens"):
        arm.run("DELETE", f"onlineEndpoints/{name}")


def score(arm: Arm, endpoint: str, token: str, **headers: str) -> httpx.Response:
    """Score with a token."""
    url = arm.get(f"onlineEndpoints/{endpoint}")["properties"]["scoringUri"]
    return arm.scoring.post(url, json={"x": 1}, headers={"Authorization": f"Bearer {token}", **headers})


def test_an_endpoint_accepts_its_own_tokens_only(
    arm: Arm, client: MLClient, management: MachineLearningServicesMgmtClient, endpoints: tuple[str, str]
) -> None:
    """`aml_token`: both clients get one; another endpoint's, Entra's, and a spoiled one are 401."""
    own, _ = endpoints
    token = client.online_endpoints.get_keys(own)
    assert score(arm, own, token.access_token).json()["y"] == 2
    assert score(arm, own, token.access_token, **{"azureml-model-deployment": "blue"}).status_code == 200
    assert 86_340 <= token.expiry_time_utc - time.time() <= 86_400
    assert token.expiry_time_utc - token.refresh_after_time_utc == 12 * 3600
    other = management.online_endpoints.get_token(**PLACE, endpoint_name=own)
    assert score(arm, own, str(other.access_token)).status_code == 200
    entra = EnvironmentCredential(disable_instance_discovery=True).get_token("https://ml.azure.com/.default").token
    for wrong in (entra, arm.token(), token.access_token[:-8] + "AAAAAAAA", "nonsense"):
        assert score(arm, own, wrong).status_code == 401


def test_an_endpoint_accepts_tokens_of_entra(arm: Arm, client: MLClient, endpoints: tuple[str, str]) -> None:
    """`aad_token`: a token for the service as a whole; one for the management plane or an endpoint is 401."""
    own, entra = endpoints
    token = client.online_endpoints.get_keys(entra).access_token
    assert score(arm, entra, token).json()["y"] == 2
    for wrong in (arm.token(), client.online_endpoints.get_keys(own).access_token, "nonsense"):
        assert score(arm, entra, wrong).status_code == 401


def test_a_token_that_has_expired_is_401(azure: LocalAzure, arm: Arm, endpoints: tuple[str, str]) -> None:
    """By its own time, although it was good a moment before."""
    _, entra = endpoints
    url = arm.get(f"onlineEndpoints/{entra}")["properties"]["scoringUri"]
    azure.chaos.expire_tokens(life_s=20)
    try:
        token = EnvironmentCredential(disable_instance_discovery=True).get_token("https://ml.azure.com/.default").token
        assert arm.scoring.post(url, json={}, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    finally:
        azure.chaos.expire_tokens()
        arm.http.headers["Authorization"] = f"Bearer {arm.token()}"
    wait_for(lambda: score(arm, entra, token).status_code, lambda status: status == 401)


def test_an_endpoint_with_tokens_has_no_keys(
    management: MachineLearningServicesMgmtClient, endpoints: tuple[str, str]
) -> None:
    """And one that takes Entra's gives none of its own: 400."""
    own, entra = endpoints
    operations = management.online_endpoints
    for ask, name in ((operations.list_keys, own), (operations.list_keys, entra), (operations.get_token, entra)):
        with pytest.raises(HttpResponseError) as caught:
            ask(**PLACE, endpoint_name=name)
        assert caught.value.status_code == 400


def test_the_mode_is_read_back_as_it_was_written(client: MLClient, endpoints: tuple[str, str]) -> None:
    """In the SDK's own words, after an update too."""
    own, entra = endpoints
    assert client.online_endpoints.get(own).auth_mode == "aml_token"
    found = client.online_endpoints.get(entra)
    assert isinstance(found, ManagedOnlineEndpoint)
    found.tags = {"seen": "yes"}
    assert client.online_endpoints.begin_create_or_update(found).result().auth_mode == "aad_token"
