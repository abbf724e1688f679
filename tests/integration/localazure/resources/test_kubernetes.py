"""Kubernetes endpoints and deployments: the same runtime, with their own rules and status codes."""

import concurrent.futures
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import MLClient, load_online_deployment, load_online_endpoint
from azure.ai.ml.entities import KubernetesOnlineDeployment, KubernetesOnlineEndpoint, TargetUtilizationScaleSettings

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, Assets, message, reason, wait_for

ENDPOINT = """
$schema: https://azuremlschemas.azureedge.net/latest/kubernetesOnlineEndpoint.schema.json
name: cluster
compute: azureml:my-cluster
auth_mode: key
"""

DEPLOYMENT = """
$schema: https://azuremlschemas.azureedge.net/latest/kubernetesOnlineDeployment.schema.json
name: blue
type: kubernetes
endpoint_name: cluster
model: {path: models/v1}
code_configuration: {code: code, scoring_script: score.py}
environment: {image: local/none, conda_file: conda.yml}
instance_type: some-instance-type
request_settings: {request_timeout_ms: 30000, max_concurrent_requests_per_instance: 3}
resources:
  requests: {cpu: "0.1", memory: "0.5Gi"}
  limits: {cpu: "200m", memory: "1Gi"}
scale_settings:
  type: target_utilization
  min_instances: 2
  max_instances: 3
  polling_interval: 10
  target_utilization_percentage: 60
"""


@pytest.fixture(scope="module")
def cluster(arm: Arm) -> str:
    """The id of a compute."""
    return f"{arm.workspace}/computes/my-cluster"


@pytest.fixture(scope="module")
def endpoint(arm: Arm, assets: Assets, cluster: str) -> Iterator[str]:
    """A Kubernetes endpoint with a deployment that has all traffic."""
    arm.endpoint("kube", compute=cluster)
    settings = {"requestTimeout": "PT3S", "maxConcurrentRequestsPerInstance": 1}
    arm.deploy("kube", "blue", assets, endpointComputeType="Kubernetes", requestSettings=settings)
    arm.endpoint("kube", compute=cluster, traffic={"blue": 100})
    yield "kube"
    arm.run("DELETE", "onlineEndpoints/kube")


def test_the_yaml_of_a_kubernetes_deployment_runs(client: MLClient, arm: Arm, project: Path) -> None:
    """`compute`, `resources` and scale settings are kept; `min_instances` run."""
    (project / "endpoint.yml").write_text(ENDPOINT)
    (project / "deployment.yml").write_text(DEPLOYMENT)
    endpoint = client.online_endpoints.begin_create_or_update(load_online_endpoint(project / "endpoint.yml")).result()
    client.online_deployments.begin_create_or_update(load_online_deployment(project / "deployment.yml")).result()
    endpoint.traffic = {"blue": 100}
    client.online_endpoints.begin_create_or_update(endpoint).result()
    found = client.online_endpoints.get("cluster")
    assert isinstance(found, KubernetesOnlineEndpoint)
    assert str(found.compute).endswith("/computes/my-cluster")
    deployment = client.online_deployments.get("blue", "cluster")
    assert isinstance(deployment, KubernetesOnlineDeployment)
    assert deployment.resources is not None
    assert deployment.resources.limits is not None
    assert deployment.resources.limits.cpu == "200m"
    assert isinstance(deployment.scale_settings, TargetUtilizationScaleSettings)
    assert deployment.scale_settings.max_instances == 3
    assert deployment.instance_type == "some-instance-type"
    assert {arm.score("cluster", {"x": 1}).json()["y"] for _ in range(16)} == {2}
    assert len(arm.processes("cluster", "blue", 2)) == 2
    names = arm.http.get(f"{arm.workspace}/onlineEndpoints?computeType=Kubernetes").json()["value"]
    assert "cluster" in {found["name"] for found in names}
    client.online_deployments.begin_create_or_update(deployment).result()
    client.online_endpoints.begin_delete("cluster").result()


def test_a_deployment_without_resources_can_be_read_and_written(client: MLClient, endpoint: str) -> None:
    """By the SDK, which wants to be told that there are none."""
    found = client.online_deployments.get("blue", endpoint)
    assert isinstance(found, KubernetesOnlineDeployment)
    assert found.resources is not None
    assert found.request_settings is not None
    assert (found.resources.requests, found.resources.limits) == (None, None)
    found.request_settings.max_queue_wait_ms = 500  # the SDK reads back whole seconds
    assert client.online_deployments.begin_create_or_update(found).result().provisioning_state == "Succeeded"


def test_the_status_codes_are_those_of_kubernetes(arm: Arm, endpoint: str) -> None:
    """502: `run()` raised, or the container ended; 503: no instance; 504: the time-out. No 424, no 408."""
    first = wait_for(lambda: arm.score(endpoint, {"x": 1}), lambda answer: answer.status_code == 200)
    assert first.json()["y"] == 2
    assert arm.score(endpoint, {"raise": "bad row"}).status_code == 502
    assert arm.score(endpoint, {"sleep_s": 3.3}).status_code == 504
    seen: list[int] = []

    def answered() -> bool:
        seen.append(arm.score(endpoint, {}).status_code)
        return seen[-1] == 200

    def seen_after_a_death() -> list[int]:
        assert arm.score(endpoint, {"die": True}).status_code == 502
        wait_for(answered)
        return seen

    wait_for(seen_after_a_death, lambda statuses: 503 in statuses)
    assert set(seen) <= {200, 502, 503, 504}


def test_too_many_requests_at_once_are_503(arm: Arm, endpoint: str) -> None:
    """Not 429: the autoscaler would be asked for more instances."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _: arm.score(endpoint, {"sleep_s": 0.2}).status_code, range(8)))
    assert 503 in seen
    assert set(seen) <= {200, 503, 504}


def test_another_operation_under_way_is_409(
    azure: LocalAzure, arm: Arm, assets: Assets, endpoint: str, cluster: str
) -> None:
    """Neither the deployment nor its endpoint takes another change until the one has ended."""
    path = f"onlineEndpoints/{endpoint}/deployments/locked"
    body = arm.deployment(assets, endpointComputeType="Kubernetes")
    with azure.chaos.hang(method="PUT", path=path):
        started = arm.call("PUT", path, body)
        assert started.status_code == 201
        others = (("PUT", path, body), ("DELETE", path, None), ("DELETE", f"onlineEndpoints/{endpoint}", None))
        refused = [arm.call(*other) for other in others]
        assert [(answer.status_code, reason(answer)) for answer in refused] == [(409, "Conflict")] * 3
    _await(arm, started.headers["Azure-AsyncOperation"])
    properties = {"authMode": "Key", "compute": cluster, "traffic": {"blue": 100}}
    with azure.chaos.hang(method="PUT", path=f"onlineEndpoints/{endpoint}") as hanging:
        updating = arm.call("PUT", f"onlineEndpoints/{endpoint}", {"location": "local", "properties": properties})
        hanging.wait()
        assert arm.call("DELETE", f"onlineEndpoints/{endpoint}").status_code == 409
    _await(arm, updating.headers["Azure-AsyncOperation"])
    assert arm.run("DELETE", path)["status"] == "Succeeded"


def _await(arm: Arm, operation: str) -> None:
    wait_for(lambda: arm.http.get(operation).json()["status"], lambda status: status == "Succeeded")


def test_a_deployment_follows_its_load(arm: Arm, assets: Assets, endpoint: str) -> None:
    """More instances while they are busier than they shall be, to `max_instances`; fewer again afterwards."""
    scale = {"scaleType": "TargetUtilization", "maxInstances": 2, "targetUtilizationPercentage": 50}
    settings = {"maxConcurrentRequestsPerInstance": 2, "requestTimeout": "PT10S"}
    kind: dict[str, Any] = {"endpointComputeType": "Kubernetes", "requestSettings": settings}
    path = f"onlineEndpoints/{endpoint}/deployments/elastic"
    body = arm.deployment(assets, **kind, scaleSettings={**scale, "pollingInterval": "PT0.3S"})
    assert arm.run("PUT", path, body)["status"] == "Succeeded"

    def busy() -> set[int]:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: arm.score(endpoint, {"sleep_s": 0.2}, "elastic"), range(12)))
        assert {answer.status_code for answer in answers} == {200}
        return {answer.json()["pid"] for answer in answers}

    assert len(wait_for(busy, lambda seen: len(seen) == 2)) == 2
    wait_for(lambda: {arm.score(endpoint, {}, "elastic").json()["pid"] for _ in range(8)}, lambda seen: len(seen) == 1)
    assert arm.run("DELETE", path)["status"] == "Succeeded"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"endpointComputeType": "Managed"}, "Kubernetes"),
        ({"requestSettings": {"requestTimeout": "PT301S"}}, "300000 ms"),
        ({"scaleSettings": {"scaleType": "TargetUtilization", "minInstances": 3, "maxInstances": 2}}, "maxInstances"),
        ({"scaleSettings": {"scaleType": "TargetUtilization", "targetUtilizationPercentage": 0}}, "Percentage"),
        ({"scaleSettings": {"scaleType": "Magic"}}, "TargetUtilization"),
        ({"containerResourceRequirements": {"containerResourceLimits": {"cpu": "many"}}}, "'many'"),
    ],
)
def test_settings_against_the_rules_are_refused(
    arm: Arm, assets: Assets, endpoint: str, changes: dict[str, Any], word: str
) -> None:
    """400, with what is wrong."""
    body = arm.deployment(assets, **{"endpointComputeType": "Kubernetes", **changes})
    answer = arm.call("PUT", f"onlineEndpoints/{endpoint}/deployments/wrong", body)
    assert answer.status_code == 400
    assert word in message(answer)


def test_a_kubernetes_endpoint_does_not_mirror_and_stays_one(
    arm: Arm, assets: Assets, endpoint: str, cluster: str
) -> None:
    """Nor may two names be too long together."""
    properties = {"authMode": "Key", "compute": cluster, "traffic": {"blue": 100}}
    mirroring = {"location": "local", "properties": {**properties, "traffic": {}, "mirrorTraffic": {"blue": 10}}}
    managed = {"location": "local", "properties": {"authMode": "Key", "traffic": {"blue": 100}}}
    elsewhere = {"location": "local", "properties": {**properties, "compute": "my-cluster"}}
    for body in (mirroring, managed, elsewhere):
        assert arm.call("PUT", f"onlineEndpoints/{endpoint}", body).status_code == 400
    long = "e" * 32
    arm.endpoint(long, compute=cluster)
    body = arm.deployment(assets, endpointComputeType="Kubernetes")
    answer = arm.call("PUT", f"onlineEndpoints/{long}/deployments/{'d' * 31}", body)
    assert (answer.status_code, "62" in message(answer)) == (400, True)
    arm.run("DELETE", f"onlineEndpoints/{long}")
