"""What a deployment collects: by the library in its scoring script, and at the gateway without it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import MLClient, load_online_deployment, load_online_endpoint

from tests.support.localazure import collected
from tests.support.localazure.arm import Arm, Assets, wait_for

DEPLOYMENT = """
$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json
name: blue
endpoint_name: gather
model: {path: models/v1/model.json}
code_configuration: {code: code, scoring_script: collect.py}
environment: {image: local/none, conda_file: conda.yml}
instance_type: Standard_DS3_v2
instance_count: 1
data_collector:
  collections:
    request: {enabled: "true"}
    response: {enabled: "true"}
    model_inputs: {enabled: "true"}
    model_outputs:
      enabled: "true"
      data: {name: answers, path: azureml://datastores/workspaceblobstore/paths/kept/answers, version: "1"}
    unused: {enabled: "false"}
  request_logging: {capture_headers: [X-Shop]}
"""

SCRIPT = """
import json
import pandas as pd
from azureml.ai.monitoring import Collector

def init():
    global inputs, outputs
    inputs, outputs = Collector(name="model_inputs"), Collector(name="model_outputs")

def run(raw_data):
    if raw_data == "fail":
        raise ValueError("as asked")
    frame = pd.DataFrame(json.loads(raw_data)["data"])
    context = inputs.collect(frame)
    answers = pd.DataFrame({"y": frame["x"] * 2})
    outputs.collect(answers, context)
    return answers["y"].tolist()
"""


@pytest.fixture
def endpoint(project: Path, client: MLClient, arm: Arm) -> Iterator[str]:
    """With a deployment whose script collects."""
    (project / "endpoint.yml").write_text("name: gather\nauth_mode: key\n")
    (project / "blue.yml").write_text(DEPLOYMENT)
    (project / "code" / "collect.py").write_text(SCRIPT)
    with (project / "conda.yml").open("a") as conda:
        conda.write("      - azureml-ai-monitoring==1.0.0\n")
    client.online_endpoints.begin_create_or_update(load_online_endpoint(project / "endpoint.yml")).result()
    client.online_deployments.begin_create_or_update(load_online_deployment(project / "blue.yml")).result()
    arm.endpoint("gather", traffic={"blue": 100})
    yield "gather"
    arm.run("DELETE", "onlineEndpoints/gather")


def test_a_deployment_collects_what_it_is_asked_to(arm: Arm, endpoint: str) -> None:
    """Tables of the script and payloads, each request's by one id; where and as Azure writes them."""
    folder = f"modelDataCollector/{endpoint}/blue"
    source = f"{arm.workspace}/onlineEndpoints/{endpoint}/deployments/blue"
    answers = [arm.score(endpoint, {"data": [{"x": x}]}, **{"x-shop": "north"}) for x in (1, 2)]
    assert [answer.json() for answer in answers] == [[2], [4]]
    ids = [answer.headers["x-request-id"] for answer in answers]

    inputs = collected.read(arm, f"{folder}/model_inputs", 2)
    outputs = collected.read(arm, "kept/answers", 2)
    requests = collected.read(arm, f"{folder}/request", 2)
    responses = collected.read(arm, f"{folder}/response", 2)

    assert [event["data"] for event in inputs] == [[{"x": 1}], [{"x": 2}]]
    assert [event["data"] for event in outputs] == [[{"y": 2}], [{"y": 4}]]
    assert [event["correlationid"] for event in inputs] == [event["correlationid"] for event in outputs]
    (first, _) = inputs
    assert list(first)[:7] == ["specversion", "id", "source", "type", "datacontenttype", "time", "data"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first["time"])
    assert first["correlationid"] == first["xrequestid"]
    assert first | dict.fromkeys(("id", "time", "correlationid", "xrequestid", "collectdatatype"), "") == {
        "specversion": "1.0",
        "id": "",
        "source": source,
        "type": "azureml.inference.model_inputs",
        "datacontenttype": "application/json",
        "time": "",
        "data": [{"x": 1}],
        "contentrange": "bytes 0-8/9",
        "correlationid": "",
        "xrequestid": "",
        "modelversion": "default",
        "collectdatatype": "",
        "agent": "azureml-ai-monitoring/1.0.0",
    }
    assert [event["data"] for event in requests] == [{"data": [{"x": 1}]}, {"data": [{"x": 2}]}]
    assert [event["data"] for event in responses] == [[2], [4]]
    assert [event["xrequestid"] for event in requests] == [event["xrequestid"] for event in responses] == ids
    (request, _), (response, _) = requests, responses
    assert (request["type"], request["source"]) == ("azureml.inference.request", source)
    assert (request["path"], request["method"], request["xshop"]) == ("/score", "POST", "north")
    assert (response["type"], response["datacontenttype"]) == ("azureml.inference.response", "application/json")
    assert "path" not in response


def test_payloads_are_collected_without_the_library(arm: Arm, assets: Assets) -> None:
    """A sample of whole requests, as often as is asked for; a place that is not there is refused."""
    half = {"dataCollectionMode": "Enabled", "samplingRate": 0.5}
    path, folder = "onlineEndpoints/sample/deployments/blue", "modelDataCollector/sample/blue"
    arm.endpoint("sample")
    nowhere = half | {"dataId": f"{arm.workspace}/data/nowhere/versions/1"}
    refused = arm.call("PUT", path, arm.deployment(assets, dataCollector={"collections": {"request": nowhere}}))
    assert (refused.status_code, "nowhere" in refused.text) == (404, True)

    arm.deploy("sample", "blue", assets, dataCollector={"collections": {"request": half, "response": half}})
    arm.endpoint("sample", traffic={"blue": 100})
    ids = [arm.score("sample", {"x": 1}).headers["x-request-id"] for _ in range(40)]
    whole = half | {"samplingRate": 1}
    arm.deploy("sample", "blue", assets, dataCollector={"collections": {"request": whole, "response": whole}})
    long = arm.score("sample", {"x": 1, "padding": "x" * 5 * 2**20})
    assert (long.status_code, long.json()["y"]) == (200, 2)
    last = long.headers["x-request-id"]

    def read(name: str) -> dict[str, Any]:
        found: dict[str, Any] = wait_for(
            lambda: {event["xrequestid"]: event for event in collected.look(arm, f"{folder}/{name}")},
            lambda events: last in events,
        )
        return found

    requests, responses = read("request"), read("response")
    assert set(requests) == set(responses) <= {*ids, last}
    assert 1 < len(requests) < 41
    assert "/storage.blob.localazure/" in requests[last]["dataref"]
    assert responses[last]["data"]["y"] == 2
    arm.run("DELETE", "onlineEndpoints/sample")
