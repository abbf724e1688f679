"""What the rollout changes on Azure differs afterwards, and nothing else, whatever the YAML says."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from saferollout.azure.client import Client
from saferollout.azure.retries import insist
from saferollout.azure.workspace import Workspace
from saferollout.config.project import resolve_workspace
from tests.support.localazure.arm import Arm
from tests.support.stack import REPOSITORY, Stack

PROJECT = REPOSITORY / "tests" / "support" / "localazure" / "project"
READER = "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/reader"
PROBE = {"initial_delay": 5, "period": 7, "timeout": 3, "success_threshold": 1, "failure_threshold": 9}

ENDPOINT: dict[str, Any] = {
    "auth_mode": "key",
    "description": "all sorts",
    "tags": {"team": "shop"},
    "properties": {"purpose": "test"},
}
MANAGED_ENDPOINT: dict[str, Any] = ENDPOINT | {
    "name": "kept",
    "public_network_access": "disabled",
    "identity": {"type": "user_assigned", "user_assigned_identities": [{"resource_id": READER}]},
}
KUBERNETES_ENDPOINT: dict[str, Any] = ENDPOINT | {"name": "kept-kube", "compute": "azureml:my-cluster"}

DEPLOYMENT: dict[str, Any] = {
    "name": "blue",
    "description": "one of all sorts",
    "tags": {"stage": "test"},
    "properties": {"kept": "yes"},
    "model": {"path": "models/v1"},
    "code_configuration": {"code": "code", "scoring_script": "score.py"},
    "environment": {"image": "local/none", "conda_file": "conda.yml"},
    "environment_variables": {"GREETING": "hello"},
    "app_insights_enabled": True,
    "instance_type": "Standard_DS3_v2",
    "instance_count": 1,
    "request_settings": {
        "request_timeout_ms": 9500,
        "max_concurrent_requests_per_instance": 2,
        "max_queue_wait_ms": 300,
    },
    "liveness_probe": PROBE,
    "readiness_probe": PROBE | {"period": 8},
    "data_collector": {
        "rolling_rate": "hour",
        "sampling_rate": 0.5,
        "collections": {"model_inputs": {"enabled": "true"}, "model_outputs": {"enabled": "false"}},
        "request_logging": {"capture_headers": ["x-custom"]},
    },
}
MANAGED_DEPLOYMENT = DEPLOYMENT | {"egress_public_network_access": "disabled", "scale_settings": {"type": "default"}}
KUBERNETES_DEPLOYMENT = DEPLOYMENT | {
    "type": "kubernetes",
    "instance_type": "some-instance-type",
    "resources": {"requests": {"cpu": "0.1", "memory": "0.5Gi"}, "limits": {"cpu": "200m", "memory": "1Gi"}},
    "scale_settings": {
        "type": "target_utilization",
        "min_instances": 1,
        "max_instances": 3,
        "polling_interval": 10,
        "target_utilization_percentage": 60,
    },
}


@pytest.fixture(
    params=[(MANAGED_ENDPOINT, MANAGED_DEPLOYMENT), (KUBERNETES_ENDPOINT, KUBERNETES_DEPLOYMENT)],
    ids=["managed", "kubernetes"],
)
def endpoint(request: pytest.FixtureRequest, stack: Stack, tmp_path: Path) -> Iterator[str]:  # noqa: ARG001  # it sets the variables
    """An endpoint of which every key is set, with a deployment of the same kind."""
    endpoint, deployment = request.param
    project = Path(shutil.copytree(PROJECT, tmp_path / "project"))
    (project / "endpoint.yml").write_text(yaml.safe_dump(endpoint))
    (project / "blue.yml").write_text(yaml.safe_dump(deployment | {"endpoint_name": endpoint["name"]}))
    workspace = Workspace(Client(resolve_workspace(None)))
    workspace.create_endpoint(project / "endpoint.yml")
    insist(workspace.create_deployment)(  # another test may be uploading the same model
        project / "blue.yml", endpoint["name"], "blue", assets={}, tags={}
    )
    yield endpoint["name"]
    workspace.delete_endpoint(endpoint["name"])


def test_only_what_is_meant_differs_afterwards(endpoint: str, stack: Stack) -> None:
    """Traffic, tags and mirrored traffic of an endpoint, and a deployment's instances; data collection goes on."""
    workspace = Workspace(Client(resolve_workspace(None)))
    path, blue = f"onlineEndpoints/{endpoint}", f"onlineEndpoints/{endpoint}/deployments/blue"

    with Arm(stack.env) as arm:

        def changed(change: dict[str, Any], resource: str = path) -> set[str]:
            before = arm.get(resource)
            if "instance_count" in change:
                workspace.scale_up(endpoint, "blue", **change)
            else:
                workspace.update_endpoint(endpoint, **change)
            return set(differences(before, arm.get(resource)))

        assert arm.get(blue)["properties"]["dataCollector"]["collections"]["model_inputs"]["samplingRate"] == 0.5
        assert arm.get(blue)["properties"]["requestSettings"]["maxQueueWait"] == "PT0.3S"
        assert changed({"traffic": {"blue": 100}}) == {"properties.traffic.blue"}
        assert changed({"tags": lambda tags: tags | {"saferollout.share": "10"}}) == {"tags.saferollout.share"}
        assert changed({"instance_count": 2}, blue) == {"sku.capacity"}
        assert changed({"traffic": {}}) == {"properties.traffic.blue"}
        if arm.get(path)["properties"]["compute"] is None:
            assert changed({"mirror": {"blue": 10}}) == {"properties.mirrorTraffic.blue"}


def differences(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """Where two JSON values differ, but for who changed them and when, and the address of that change."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in (before.keys() | after.keys()) - {"systemData", "AzureAsyncOperationUri"}:
            yield from differences(before.get(key), after.get(key), f"{where}.{key}".lstrip("."))
    elif before != after:
        yield where
