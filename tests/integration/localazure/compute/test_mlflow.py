"""A model that MLflow saved, deployed without code and environment."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import MLClient, load_online_deployment, load_online_endpoint

from tests.support.localazure.arm import Arm, Assets
from tests.support.localazure.sdk import SUPPORT

MODEL = SUPPORT / "mlflow" / "linear"  # y = 2a + 3b, saved by mlflow.sklearn.save_model

ENDPOINT = "name: flow\nauth_mode: key\n"
DEPLOYMENT = f"""
$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json
name: blue
endpoint_name: flow
model: {{name: linear, version: 1, type: mlflow_model, path: "{MODEL}"}}
instance_type: Standard_DS3_v2
instance_count: 1
"""


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two YAML files."""
    folder = tmp_path_factory.mktemp("flow")
    (folder / "endpoint.yml").write_text(ENDPOINT)
    (folder / "deployment.yml").write_text(DEPLOYMENT)
    return folder


@pytest.fixture
def deployed(client: MLClient, arm: Arm, texts: Path) -> Iterator[str]:
    """The endpoint with the model, by the unchanged SDK."""
    client.online_endpoints.begin_create_or_update(load_online_endpoint(texts / "endpoint.yml")).result()
    client.online_deployments.begin_create_or_update(load_online_deployment(texts / "deployment.yml")).result()
    arm.endpoint("flow", traffic={"blue": 100})
    yield "flow"
    arm.run("DELETE", "onlineEndpoints/flow")


def test_an_mlflow_model_is_served_without_code_from_its_own_requirements(arm: Arm, deployed: str) -> None:
    """`input_data` as a table, as rows and as records; anything else is the model's error."""
    inputs: list[Any] = [
        {"columns": ["a", "b"], "index": [0, 1], "data": [[1, 1], [2, 0]]},
        {"columns": ["b", "a"], "data": [[1, 1], [0, 2]]},
        [[1, 1], [2, 0]],
        [{"a": 1, "b": 1}, {"a": 2, "b": 0}],
        {"a": [1, 2], "b": [1, 0]},
    ]
    for data in inputs:
        answer = arm.score(deployed, {"input_data": data})
        assert answer.status_code == 200, answer.text
        assert answer.json() == pytest.approx([5, 4])
    for wrong in ({"data": [[1, 1]]}, {"input_data": {"columns": ["a"], "data": [[1]]}}, [[1, 1]]):
        assert arm.score(deployed, wrong).status_code == 424
    logs = arm.call("POST", f"onlineEndpoints/{deployed}/deployments/blue/getLogs", {"tail": 2000}).json()["content"]
    assert "input_data" in logs


def test_other_models_need_code_and_every_code_needs_an_environment(arm: Arm, assets: Assets) -> None:
    """Refused before anything begins, with what is missing."""
    arm.endpoint("codeless")
    path = "onlineEndpoints/codeless/deployments/blue"
    codeless = arm.call("PUT", path, arm.deployment(assets, codeConfiguration=None))
    assert (codeless.status_code, "code_configuration" in codeless.text) == (501, True)
    bare = arm.call("PUT", path, arm.deployment(assets, environmentId=None))
    assert (bare.status_code, "environment" in bare.text) == (400, True)
    arm.run("DELETE", "onlineEndpoints/codeless")
