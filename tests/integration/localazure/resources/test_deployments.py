"""What a deployment runs, what it shows, and what is refused."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Model

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, Assets, lasting, message, reason, wait_for


@pytest.fixture(scope="module")
def endpoint(arm: Arm, assets: Assets) -> Iterator[str]:
    """An endpoint with blue at 100% and green without traffic."""
    arm.endpoint("deployments")
    for name, model in (("blue", 1), ("green", 2)):
        arm.deploy("deployments", name, assets, model=model)
    arm.endpoint("deployments", traffic={"blue": 100})
    yield "deployments"
    arm.run("DELETE", "onlineEndpoints/deployments")


def path(name: str) -> str:
    """Of a deployment."""
    return f"onlineEndpoints/deployments/deployments/{name}"


def test_the_container_s_environment_is_azure_s_and_not_ours(
    arm: Arm, assets: Assets, endpoint: str, azure: LocalAzure
) -> None:
    """Environment variables arrive; the model folder lies under AZUREML_MODEL_DIR; no secret of this shell leaks."""
    arm.deploy(endpoint, "green", assets, model=2, environmentVariables={"GREETING": "hello"})
    answer = arm.score(endpoint, {}, "green").json()
    assert answer["greeting"] == "hello"
    model_dir = Path(answer["model_dir"])
    assert model_dir.parts[-3:] == ("azureml-models", "scale-model", "2")
    assert [entry.name for entry in model_dir.iterdir()] == ["v2"]
    environ = Path(f"/proc/{answer['pid']}/environ").read_text()
    assert azure.environ["AZURE_CLIENT_SECRET"] not in environ
    assert "AZURE_CLIENT_ID" not in environ


def test_a_model_file_lies_directly_in_the_model_dir(
    arm: Arm, assets: Assets, client: MLClient, project: Path, endpoint: str
) -> None:
    """`path` as a file gives $AZUREML_MODEL_DIR/file, as a folder $AZUREML_MODEL_DIR/folder/file."""
    model = client.models.create_or_update(Model(name="file-model", path=project / "models/v2/model.json"))
    body = arm.deployment(assets)
    body["properties"]["model"] = model.id
    assert arm.run("PUT", path("filed"), body)["status"] == "Succeeded"
    answer = arm.score(endpoint, {"x": 1}, "filed").json()
    assert answer["y"] == 3
    assert [entry.name for entry in Path(answer["model_dir"]).iterdir()] == ["model.json"]


def test_the_resource_reads_back_with_azure_s_defaults(arm: Arm, endpoint: str) -> None:
    """What was not given is there as Azure fills it in; ids are well-formed; states are final."""
    found = arm.get(path("blue"))
    assert found["id"] == f"{arm.workspace}/onlineEndpoints/{endpoint}/deployments/blue"
    assert found["properties"]["provisioningState"] == "Succeeded"
    assert found["properties"]["scaleSettings"] == {"scaleType": "Default"}
    assert found["properties"]["requestSettings"]["requestTimeout"] == "PT5S"
    assert found["properties"]["livenessProbe"]["period"] == "PT10S"
    assert found["sku"] == {"name": "Default", "tier": "Standard", "capacity": 1}


def test_states_on_the_way_are_visible_and_the_entity_is_locked(
    arm: Arm, assets: Assets, endpoint: str, azure: LocalAzure
) -> None:
    """Creating, Scaling and Updating show; a second change meanwhile is a conflict."""
    seen = []
    for body in (
        arm.deployment(assets),
        arm.deployment(assets, capacity=2),
        arm.deployment(assets, capacity=2, environmentVariables={"GREETING": "x"}),
    ):
        with azure.chaos.hang(method="PUT", path=path("states")):
            started = arm.call("PUT", path("states"), body)
            seen.append(arm.get(path("states"))["properties"]["provisioningState"])
            refused = [arm.call("PUT", path("states"), body), arm.call("DELETE", path("states"))]
            assert [(answer.status_code, reason(answer)) for answer in refused] == [(409, "Conflict")] * 2
            assert arm.call("DELETE", f"onlineEndpoints/{endpoint}").status_code == 409
        assert int(started.headers["x-ms-retry-after-ms"]) < 1000
        operation = started.headers["Azure-AsyncOperation"]
        wait_for(partial(arm.http.get, operation), lambda answer: answer.json()["status"] == "Succeeded")
    assert seen == ["Creating", "Scaling", "Updating"]
    assert arm.run("DELETE", path("states"))["status"] == "Succeeded"
    assert arm.call("GET", path("states")).status_code == 404


def test_a_deployment_with_traffic_cannot_be_deleted(arm: Arm, endpoint: str) -> None:
    """Live or mirrored; the message says how much it has."""
    answer = arm.call("DELETE", path("blue"))
    assert answer.status_code == 400
    assert "100%" in message(answer)
    arm.endpoint(endpoint, traffic={"blue": 100}, mirrorTraffic={"green": 10})
    assert arm.call("DELETE", path("green")).status_code == 400
    arm.endpoint(endpoint, traffic={"blue": 100})
    assert arm.score(endpoint, {}).status_code == 200


@pytest.mark.parametrize(
    ("traffic", "mirror"),
    [
        ({"blue": 90}, {}),
        ({"blue": 90, "green": 20}, {}),
        ({"blue": 100, "purple": 0}, {}),
        ({"blue": 99.5, "green": 0.5}, {}),
        ({"blue": 100}, {"green": 51}),
        ({"blue": 100}, {"blue": 10}),
        ({"blue": 101, "green": -1}, {}),
    ],
)
def test_traffic_against_the_rules_is_refused(
    arm: Arm, endpoint: str, traffic: dict[str, Any], mirror: dict[str, Any]
) -> None:
    """400, and nothing has changed."""
    before = arm.get(f"onlineEndpoints/{endpoint}")
    body = {"location": "local", "properties": {"authMode": "Key", "traffic": traffic, "mirrorTraffic": mirror}}
    assert arm.call("PUT", f"onlineEndpoints/{endpoint}", body).status_code == 400
    assert arm.get(f"onlineEndpoints/{endpoint}") == before


@pytest.mark.parametrize(
    "change",
    [
        {"identity": {"type": "Royal"}},
        {"identity": {"type": "UserAssigned"}},
        {"identity": {"type": "SystemAssigned", "userAssignedIdentities": {"reader": {}}}},
        {"properties": {"authMode": "Key", "publicNetworkAccess": "Sometimes"}},
        {"properties": {"authMode": "Password"}},
        {"properties": {"authMode": "Key", "keys": {"primaryKey": "no-key!"}}},
    ],
)
def test_endpoints_against_the_rules_are_refused(arm: Arm, change: dict[str, Any]) -> None:
    """Words that Azure does not know: 400, and no endpoint."""
    body = {"location": "local", "properties": {"authMode": "Key"}, **change}
    assert arm.call("PUT", "onlineEndpoints/wrong", body).status_code == 400
    assert arm.call("GET", "onlineEndpoints/wrong").status_code == 404


def test_skus_against_the_rules_are_refused(arm: Arm, assets: Assets, endpoint: str) -> None:
    """There is the SKU Default only, and an endpoint has none."""
    premium = {**arm.deployment(assets), "sku": {"name": "Premium", "capacity": 1}}
    assert arm.call("PUT", path("wrong"), premium).status_code == 400
    assert arm.call("PATCH", path("green"), {"sku": {"name": "Premium", "capacity": 2}}).status_code == 400
    body = {"location": "local", "sku": {"name": "Default"}, "properties": {"authMode": "Key"}}
    assert arm.call("PUT", f"onlineEndpoints/{endpoint}", body).status_code == 501


@pytest.mark.parametrize("name", ["ab", "1abc", "a--b", "abc-", "a_b", "a" * 33])
@pytest.mark.usefixtures("endpoint")
def test_names_against_the_rules_are_refused(arm: Arm, assets: Assets, name: str) -> None:
    """For endpoints and deployments alike."""
    body = {"location": "local", "properties": {"authMode": "Key"}}
    assert arm.call("PUT", f"onlineEndpoints/{name}", body).status_code == 400
    assert arm.call("PUT", path(name), arm.deployment(assets)).status_code == 400


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"capacity": 0}, 400, "BadRequest"),
        ({"capacity": 51}, 400, "OutOfQuota"),
        ({"instanceType": None}, 400, "BadRequest"),
        ({"requestSettings": {"requestTimeout": "PT181S"}}, 400, "BadRequest"),
        ({"requestSettings": {"requestTimeout": "5 seconds"}}, 400, "BadRequest"),
        ({"requestSettings": {"maxConcurrentRequestsPerInstance": 0}}, 400, "BadRequest"),
        ({"endpointComputeType": "Kubernetes"}, 400, "BadRequest"),
        ({"endpointComputeType": "AzureMLCompute"}, 501, "NotImplemented"),
        ({"instanceType": "big"}, 400, "BadRequest"),
        ({"environmentVariables": {"A=B": "1"}}, 400, "BadRequest"),
        ({"environmentVariables": {"": "1"}}, 400, "BadRequest"),
        ({"containerResourceRequirements": {"containerResourceLimits": {"cpu": "1"}}}, 400, "BadRequest"),
        ({"livenessProbe": {"period": "PT0S"}}, 400, "BadRequest"),
        ({"readinessProbe": {"failureThreshold": 0}}, 400, "BadRequest"),
        ({"codeConfiguration": {"scoringScript": "score.py"}}, 400, "BadRequest"),
        ({"egressPublicNetworkAccess": "Sometimes"}, 400, "BadRequest"),
        ({"appInsightsEnabled": "yes"}, 400, "BadRequest"),
        ({"dataCollector": {"collections": {"in": {"dataCollectionMode": "Maybe"}}}}, 400, "BadRequest"),
        ({"dataCollector": {"collections": {}, "rollingRate": "Second"}}, 400, "BadRequest"),
        ({"codeConfiguration": None}, 501, "NotImplemented"),
        ({"scaleSettings": {"scaleType": "TargetUtilization"}}, 400, "BadRequest"),
    ],
)
@pytest.mark.usefixtures("endpoint")
def test_settings_against_the_rules_are_refused(
    arm: Arm, assets: Assets, changes: dict[str, Any], status: int, code: str
) -> None:
    """With a code that tells a wrong request from one that local Azure cannot serve."""
    answer = arm.call("PUT", path("wrong"), arm.deployment(assets, **changes))
    assert (answer.status_code, reason(answer)) == (status, code)


def test_tags_are_kept_and_can_be_patched(arm: Arm, endpoint: str) -> None:
    """PATCH changes the tags and nothing else; too long a value is refused."""
    before = arm.get(f"onlineEndpoints/{endpoint}")
    assert arm.run("PATCH", f"onlineEndpoints/{endpoint}", {"tags": {"a": "b"}})["status"] == "Succeeded"
    after = arm.get(f"onlineEndpoints/{endpoint}")
    assert after["tags"] == {"a": "b"}
    assert lasting(after["properties"]) == lasting(before["properties"])
    assert arm.call("PATCH", f"onlineEndpoints/{endpoint}", {"tags": {"a": "b" * 257}}).status_code == 400


def test_identities_can_be_patched(arm: Arm, endpoint: str) -> None:
    """Of an endpoint, and of a deployment; nothing else changes."""
    identity = {"type": "UserAssigned", "userAssignedIdentities": {"/subscriptions/s/reader": {}}}
    for where in (f"onlineEndpoints/{endpoint}", path("green")):
        before = arm.get(where)
        assert arm.run("PATCH", where, {"identity": identity})["status"] == "Succeeded"
        after = arm.get(where)
        assert after["identity"]["userAssignedIdentities"] == {"/subscriptions/s/reader": {}}
        assert (after["tags"], lasting(after["properties"])) == (before["tags"], lasting(before["properties"]))
        assert arm.call("PATCH", where, {"identity": {"type": "Royal"}}).status_code == 400


def test_patching_the_capacity_scales(arm: Arm, endpoint: str) -> None:
    """As the other official client does it."""
    assert arm.run("PATCH", path("green"), {"sku": {"name": "Default", "capacity": 2}})["status"] == "Succeeded"
    assert len(arm.processes(endpoint, "green", 2)) == 2
    assert arm.run("PATCH", path("green"), {"sku": {"name": "Default", "capacity": 1}})["status"] == "Succeeded"
