"""The Azure ML YAML of what is deployed: without what the service adds, and never taken for what it is not."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saferollout.azure import yaml_files
from saferollout.azure.yaml_export import deployment_yaml, endpoint_yaml
from saferollout.config import project, yaml_text
from saferollout.config.project import Project
from saferollout.rollout.begin import is_same

WORKSPACE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
PROBE = {"failureThreshold": 30, "successThreshold": 1, "timeout": "PT2S", "period": "PT10S", "initialDelay": "PT10S"}
SHOWN: dict[str, Any] = {
    "id": f"{WORKSPACE}/onlineEndpoints/shop/deployments/prod",
    "name": "prod",
    "type": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments",
    "location": "eastus",
    "kind": "Managed",
    "tags": {"team": "fraud", "saferollout.revision": "0123456789ab", "azureml.studio": "x"},
    "sku": {"name": "Default", "tier": "Standard", "capacity": 3},
    "systemData": {"createdAt": "2025-02-25T10:00:00+00:00"},
    "properties": {
        "description": "by hand",
        "properties": {"AzureAsyncOperationUri": "https://management.azure.com/…", "kept": "yes"},
        "provisioningState": "Succeeded",
        "endpointComputeType": "Managed",
        "model": f"{WORKSPACE.replace('resourceGroups', 'resourcegroups')}/models/fraud/versions/7",
        "codeConfiguration": {"codeId": f"{WORKSPACE}/codes/1b2c/versions/1", "scoringScript": "score.py"},
        "environmentId": "azureml://registries/azureml/environments/sklearn-1.5/versions/35",
        "environmentVariables": {
            "LEVEL": "007",
            "AZUREML_MODEL_DIR": "/var/azureml-app/azureml-models/fraud/7",
            "AZUREML_ENTRY_SCRIPT": "score.py",
            "AML_APP_ROOT": "/var/azureml-app/onlinescoring",
        },
        "instanceType": "Standard_DS3_v2",
        "appInsightsEnabled": True,
        "modelMountPath": None,
        "egressPublicNetworkAccess": "Disabled",
        "requestSettings": {"maxQueueWait": "PT0S", "requestTimeout": "PT5.5S", "maxConcurrentRequestsPerInstance": 2},
        "livenessProbe": PROBE,
        "readinessProbe": PROBE | {"period": "PT20S"},
        "scaleSettings": {"scaleType": "Default"},
        "dataCollector": {
            "rollingRate": "Hour",
            "collections": {
                "request": {
                    "dataCollectionMode": "Enabled",
                    "samplingRate": 0.5,
                    "dataId": f"{WORKSPACE}/data/shop-prod-request/versions/1",
                },
                "model_inputs": {
                    "dataCollectionMode": "Disabled",
                    "samplingRate": 0.5,
                    "dataId": f"{WORKSPACE}/data/ours/versions/3",
                },
            },
            "requestLogging": {"captureHeaders": ["x-shop"]},
        },
    },
}
"""A deployment as the real service shows it, by recordings of it."""
YAML: dict[str, Any] = {
    "$schema": "https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json",
    "name": "prod",
    "endpoint_name": "shop",
    "description": "by hand",
    "model": "azureml:fraud:7",
    "code_configuration": {"code": f"azureml:{WORKSPACE}/codes/1b2c/versions/1", "scoring_script": "score.py"},
    "environment": "azureml://registries/azureml/environments/sklearn-1.5/versions/35",
    "environment_variables": {"LEVEL": "007"},
    "instance_type": "Standard_DS3_v2",
    "instance_count": 3,
    "request_settings": {"request_timeout_ms": 5500, "max_concurrent_requests_per_instance": 2},
    "liveness_probe": {
        "initial_delay": 10,
        "period": 10,
        "timeout": 2,
        "success_threshold": 1,
        "failure_threshold": 30,
    },
    "readiness_probe": {
        "initial_delay": 10,
        "period": 20,
        "timeout": 2,
        "success_threshold": 1,
        "failure_threshold": 30,
    },
    "app_insights_enabled": True,
    "egress_public_network_access": "disabled",
    "data_collector": {
        "collections": {
            "request": {"enabled": "true"},
            "model_inputs": {"enabled": "false", "data": {"name": "ours", "version": "3"}},
        },
        "sampling_rate": 0.5,
        "rolling_rate": "hour",
        "request_logging": {"capture_headers": ["x-shop"]},
    },
    "tags": {"team": "fraud"},
    "properties": {"kept": "yes"},
}
IRRELEVANT = (
    ("type",),
    ("location",),
    ("kind",),
    ("sku", "name"),
    ("sku", "tier"),
    ("systemData", "createdAt"),
    ("tags", "saferollout.revision"),
    ("tags", "azureml.studio"),
    ("properties", "provisioningState"),
    ("properties", "properties", "AzureAsyncOperationUri"),
    ("properties", "scaleSettings", "scaleType"),
    ("properties", "environmentVariables", "AML_APP_ROOT"),
)
"""What is no part of what a deployment is made of; a scale type is another one only with other keys."""


@pytest.fixture
def adopted(project_files: Path) -> Project:
    """A project with the written files."""
    endpoint = {"name": "shop", "properties": {"authMode": "Key"}}
    (project_files / "endpoint.yml").write_text(yaml_text.dump(endpoint_yaml(endpoint)), encoding="utf-8")
    (project_files / "green.yml").write_text(yaml_text.dump(deployment_yaml(SHOWN, "shop").yaml), encoding="utf-8")
    return project.load("rollout.yaml")


def leaves(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each value lies that is not a mapping."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*place, key))
    else:
        yield place


def changed(place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The deployment with another value somewhere."""
    shown = copy.deepcopy(SHOWN)
    inner: Any = shown
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return shown


def other(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, list):
        return [*value, "x-more"]
    if isinstance(value, int | float):
        return value / 2 if isinstance(value, float) else value + 1
    if value in ("Enabled", "Disabled"):
        return {"Enabled": "Disabled", "Disabled": "Enabled"}[value]
    if value == "Hour":
        return "Day"
    return value[:-1] + ("5S" if str(value).startswith("PT") else "x") if value else "x"


def test_the_yaml_says_what_was_said() -> None:
    """And nothing that the service adds: ids, states, its own variables, tags and properties."""
    written = deployment_yaml(SHOWN, "shop")

    assert (written.yaml, written.left_out) == (YAML, ())


def test_the_written_files_are_already_live(adopted: Project) -> None:
    """As the SDK accepts them, by what they are made of, without a tag; with another model it is another candidate."""
    assert project.load("rollout.yaml", sdk=yaml_files) == adopted
    written = deployment_yaml(SHOWN, "shop")

    assert is_same(adopted, written)
    assert not is_same(adopted.with_assets(adopted.assets | {"model": "azureml:fraud:8"}), written)
    assert not is_same(adopted, None)


OF_ANOTHER = (("id",), ("name",))
"""With these it is another deployment, which has data of other names."""


@pytest.mark.parametrize(
    "place", [place for place in leaves(SHOWN) if place not in (*IRRELEVANT, *OF_ANOTHER)], ids="-".join
)
def test_any_other_value_is_not_the_same(adopted: Project, place: tuple[Any, ...]) -> None:
    """Never a false *already live*: one setting, asset, variable, tag or collection that differs is enough."""
    value: Any = SHOWN
    for key in place:
        value = value[key]
    same = is_same(adopted, deployment_yaml(changed(place, other(value)), "shop"))

    # live has more instances, and a rollout would keep them
    assert same is (place == ("sku", "capacity"))


@pytest.mark.parametrize("place", IRRELEVANT, ids="-".join)
def test_what_the_service_writes_makes_no_difference(adopted: Project, place: tuple[Any, ...]) -> None:
    """It changes with every update."""
    value = "/var/azureml-app/other" if place[-1] == "AML_APP_ROOT" else "Default"

    assert is_same(adopted, deployment_yaml(changed(place, value), "shop"))


@pytest.mark.parametrize(
    ("place", "value", "left_out"),
    [
        (("properties", "startupProbe"), PROBE, "startupProbe"),
        (("properties", "somethingNew"), {"a": 1}, "somethingNew"),
        (("properties", "livenessProbe", "path"), "/live", "livenessProbe.path"),
        (("properties", "livenessProbe", "timeout"), "PT0.5S", "liveness_probe.timeout of 0.5 s"),
        (("properties", "livenessProbe", "initialDelay"), "PT0S", "liveness_probe.initial_delay of 0 s"),
        (("properties", "dataCollector", "rollingRate"), "Year", "data_collector.rolling_rate year"),
        (("properties", "dataCollector", "collections", "request", "samplingRate"), 0.1, "several sampling rates"),
        (("properties", "dataCollector", "collections", "request", "dataId"), "elsewhere", "request.data elsewhere"),
        (("properties", "dataCollector", "collections", "request", "more"), 1, "collections.request.more"),
        (("properties", "environmentVariables", "AZUREML_MODEL_DIR"), "/var/azureml-app/m", "AZUREML_MODEL_DIR"),
        (("identity",), {"type": "SystemAssigned"}, "identity"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_written_is_said_and_is_never_the_same(
    adopted: Project, place: tuple[Any, ...], value: Any, left_out: str
) -> None:
    """Another deployment of the same YAML would lack it."""
    written = deployment_yaml(changed(place, value), "shop")

    assert any(left_out in each for each in written.left_out)
    assert not is_same(adopted, written)


@pytest.mark.parametrize(("count", "same"), [("3", True), ("1", True), ("4", False), ('"3"', False)])
def test_fewer_instances_are_no_difference(project_files: Path, adopted: Project, count: str, same: bool) -> None:
    """A rollout gives a candidate live's instances at least; more are a change."""
    text = (project_files / "green.yml").read_text()
    (project_files / "green.yml").write_text(text.replace("instance_count: 3", f"instance_count: {count}"))

    assert is_same(project.load("rollout.yaml"), deployment_yaml(SHOWN, "shop")) is same
    assert adopted.settings is not None


def test_files_here_are_never_taken_for_what_is_deployed(project_files: Path) -> None:
    """Nobody knows what was uploaded of them, without a tag."""
    assert (project_files / "green.yml").exists()
    assert project.load("rollout.yaml").settings is None


def test_settings_hold_no_secret(adopted: Project) -> None:
    """A run keeps them among Prefect's results."""
    assert "007" not in adopted.model_dump_json()


def test_assets_of_other_places_are_named_by_their_ids() -> None:
    """A registry's, another workspace's; `azureml:` is written once."""
    elsewhere = WORKSPACE.replace("/w", "/other")
    for shown, named in (
        (f"azureml:{WORKSPACE}/models/m/versions/1", "azureml:m:1"),
        (f"{elsewhere}/models/m/versions/1", f"azureml:{elsewhere}/models/m/versions/1"),
        ("azureml://registries/r/models/m/versions/1", "azureml://registries/r/models/m/versions/1"),
    ):
        assert deployment_yaml(changed(("properties", "model"), shown), "shop").yaml["model"] == named


def test_a_kubernetes_deployment_is_written() -> None:
    """With its resources and its scaling, which has the number of instances."""
    shown = copy.deepcopy(SHOWN)
    shown["properties"] |= {
        "endpointComputeType": "Kubernetes",
        "containerResourceRequirements": {
            "containerResourceRequests": {"cpu": "1", "memory": "1Gi"},
            "containerResourceLimits": {"cpu": "2", "memory": None},
        },
        "scaleSettings": {
            "scaleType": "TargetUtilization",
            "minInstances": 1,
            "maxInstances": 3,
            "pollingInterval": "PT5S",
            "targetUtilizationPercentage": 70,
        },
    }
    written = deployment_yaml(shown, "shop").yaml

    assert (written["type"], "instance_count" in written) == ("kubernetes", False)
    assert written["resources"] == {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2"}}
    assert written["scale_settings"] == {
        "type": "target_utilization",
        "min_instances": 1,
        "max_instances": 3,
        "polling_interval": 5,
        "target_utilization_percentage": 70,
    }


def test_an_endpoint_is_written_without_its_traffic() -> None:
    """Nor with what the service and rollouts put there."""
    shown = {
        "name": "shop",
        "tags": {"team": "fraud", "saferollout.record": "…"},
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {"/subscriptions/s/mine": {"clientId": "c"}}},
        "properties": {
            "authMode": "AADToken",
            "description": None,
            "properties": {"azureml.onlineendpointid": "…", "AzureAsyncOperationUri": "…"},
            "publicNetworkAccess": "Disabled",
            "traffic": {"blue": 100},
            "scoringUri": "https://shop.eastus.inference.ml.azure.com/score",
            "compute": f"{WORKSPACE}/computes/aks",
        },
    }

    assert endpoint_yaml(shown) == {
        "$schema": "https://azuremlschemas.azureedge.net/latest/kubernetesOnlineEndpoint.schema.json",
        "name": "shop",
        "auth_mode": "aad_token",
        "compute": "azureml:aks",
        "public_network_access": "disabled",
        "identity": {"type": "user_assigned", "user_assigned_identities": [{"resource_id": "/subscriptions/s/mine"}]},
        "tags": {"team": "fraud"},
    }
