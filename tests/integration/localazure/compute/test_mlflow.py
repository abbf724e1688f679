"""Models that MLflow saved, deployed without code and environment.

What they take and refuse was compared with Azure's own scoring script, on pandas 2 and 3.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import MLClient, load_online_deployment, load_online_endpoint

from tests.support.localazure import collected
from tests.support.localazure.arm import Arm, Assets
from tests.support.localazure.sdk import SUPPORT

MODELS = SUPPORT / "mlflow"
"""`linear` is y = 2a + 3b, saved by `mlflow.sklearn.save_model`; `types` answers with the types and values it gets."""

ENDPOINT = "name: flow\nauth_mode: key\n"
DEPLOYMENT = """
$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json
name: blue
endpoint_name: flow
model: {{name: {model}, version: 1, type: mlflow_model, path: "{path}"}}
instance_type: Standard_DS3_v2
instance_count: 1
data_collector:
  collections:
    model_inputs: {{enabled: "true"}}
    model_outputs: {{enabled: "true"}}
"""

GIVEN = {
    "boolean": 1,
    "integer": "5",
    "long": 6.0,
    "float": 1,
    "double": "1.5",
    "string": 7,
    "binary": "aGk=",
    "datetime": "2024-01-02T03:04:05",
}
TAKEN = {
    "boolean": ["bool", ["True"]],
    "integer": ["int32", ["5"]],
    "long": ["int64", ["6"]],
    "float": ["float32", ["1.0"]],
    "double": ["float64", ["1.5"]],
    "string": ["object", ["7"]],
    "binary": ["object", ["aGk="]],
    "datetime": ["datetime64[ns]", ["2024-01-02 03:04:05"]],
}


@pytest.fixture
def deploy(client: MLClient, arm: Arm, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Deploy one of the models by the unchanged SDK; returns the endpoint."""

    def deploy_model(name: str) -> str:
        (tmp_path / "endpoint.yml").write_text(ENDPOINT)
        (tmp_path / "deployment.yml").write_text(DEPLOYMENT.format(model=name, path=MODELS / name))
        client.online_endpoints.begin_create_or_update(load_online_endpoint(tmp_path / "endpoint.yml")).result()
        client.online_deployments.begin_create_or_update(load_online_deployment(tmp_path / "deployment.yml")).result()
        arm.endpoint("flow", traffic={"blue": 100})
        return "flow"

    yield deploy_model
    arm.run("DELETE", "onlineEndpoints/flow")


def test_an_mlflow_model_is_served_without_code_from_its_own_requirements(
    arm: Arm, deploy: Callable[[str], str]
) -> None:
    """A table, with or without an index, is answered and collected; rows and records of named columns are refused."""
    endpoint = deploy("linear")
    for data in (
        {"columns": ["a", "b"], "index": [0, 1], "data": [[1, 1], [2, 0]]},
        {"columns": ["b", "a"], "data": [[1, 1], [0, 2]]},
    ):
        answer = arm.score(endpoint, {"input_data": data})
        assert answer.status_code == 200, answer.text
        assert answer.json() == pytest.approx([5, 4])
    inputs = collected.read(arm, "modelDataCollector/flow/blue/model_inputs", 2)
    outputs = collected.read(arm, "modelDataCollector/flow/blue/model_outputs", 2)
    assert [event["data"] for event in inputs] == [
        [{"a": 1.0, "b": 1.0}, {"a": 2.0, "b": 0.0}],
        [{"b": 1.0, "a": 1.0}, {"b": 0.0, "a": 2.0}],
    ]
    assert [row["0"] for row in outputs[0]["data"]] == pytest.approx([5, 4])
    assert [event["correlationid"] for event in inputs] == [event["correlationid"] for event in outputs]

    refused: list[tuple[Any, str]] = [
        ({"input_data": [[1, 1], [2, 0]]}, "500"),
        ({"input_data": [{"a": 1, "b": 1}]}, "500"),
        ({"input_data": {"a": [1, 2], "b": [1, 0]}}, "500"),
        ({"input_data": {"columns": ["a"], "index": [0], "data": [[1]]}}, "500"),
        ({"data": [[1, 1]]}, "400"),
        ([[1, 1]], "400"),
    ]
    for body, status in refused:
        answer = arm.score(endpoint, body)
        assert (answer.status_code, answer.headers["ms-azureml-model-error-statuscode"]) == (424, status), body
    assert "input_data" in arm.score(endpoint, {"data": 1}).text


def test_every_column_is_cast_to_the_type_of_the_signature(arm: Arm, deploy: Callable[[str], str]) -> None:
    """Each type that MLflow knows; what cannot be cast is the model's error, as is a missing integer."""
    endpoint = deploy("types")

    def score(params: Any = None, **changed: Any) -> Any:
        row = GIVEN | changed
        table = {"columns": list(row), "index": [0], "data": [list(row.values())]}
        answer = arm.score(endpoint, {"input_data": table} | ({"params": params} if params else {}))
        return answer.json() if answer.status_code == 200 else answer.headers["ms-azureml-model-error-statuscode"]

    assert score() == TAKEN
    assert score(integer=1.9)["integer"] == ["int32", ["1"]]
    assert score(string=None)["string"] == ["object", ["nan"]]
    assert score(double=None)["double"] == ["float64", ["nan"]]
    assert score(boolean="no")["boolean"] == ["bool", ["True"]]
    assert score(datetime=1)["datetime"] == ["datetime64[ns]", ["1970-01-01 00:00:00.000000001"]]
    assert score({"shout": True}) == {name.upper(): seen for name, seen in TAKEN.items()}
    refused: tuple[dict[str, Any], ...] = (
        {"integer": "a"},
        {"integer": None},
        {"long": [1]},
        {"float": "a"},
        {"double": {}},
        {"datetime": "a"},
    )
    for wrong in refused:
        assert score(**wrong) == "500", wrong
    assert score({"shout": "loud"}) == "500"


def test_other_models_need_code_and_every_code_needs_an_environment(arm: Arm, assets: Assets) -> None:
    """Refused before anything begins, with what is missing."""
    arm.endpoint("codeless")
    path = "onlineEndpoints/codeless/deployments/blue"
    codeless = arm.call("PUT", path, arm.deployment(assets, codeConfiguration=None))
    assert (codeless.status_code, "code_configuration" in codeless.text) == (501, True)
    bare = arm.call("PUT", path, arm.deployment(assets, environmentId=None))
    assert (bare.status_code, "environment" in bare.text) == (400, True)
    arm.run("DELETE", "onlineEndpoints/codeless")
