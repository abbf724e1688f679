"""What else stands in the YAML that users have: raw bodies, folders of models, identities, collectors, variables."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from azure.ai.ml import MLClient, load_online_deployment, load_online_endpoint

from tests.support.localazure.arm import Arm

USER = "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/reader"

ENDPOINT = f"""
$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineEndpoint.schema.json
name: kinds
auth_mode: key
description: all sorts
public_network_access: disabled
tags: {{team: shop}}
properties: {{purpose: test}}
identity:
  type: user_assigned
  user_assigned_identities:
    - resource_id: {USER}
"""

DEPLOYMENT = """
$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json
name: {name}
endpoint_name: kinds
model: {{path: {model}}}
code_configuration: {{code: code, scoring_script: {name}.py}}
environment: {{image: local/none, conda_file: conda.yml}}
instance_type: Standard_DS3_v2
instance_count: 1
"""

EXTRAS = """
app_insights_enabled: true
egress_public_network_access: enabled
description: two models
tags: {stage: test}
properties: {kept: "yes"}
environment_variables: {GREETING: hello, NUMBER: 3}
request_settings: {request_timeout_ms: 9000, max_concurrent_requests_per_instance: 2, max_queue_wait_ms: 2000}
scale_settings: {type: default}
liveness_probe: {initial_delay: 5, period: 7, timeout: 3, success_threshold: 1, failure_threshold: 9}
data_collector:
  rolling_rate: hour
  sampling_rate: 0.5
  collections:
    model_inputs: {enabled: "true"}
    model_outputs: {enabled: "false"}
  request_logging: {capture_headers: [x-custom]}
"""

RAW = """
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse

def init():
    pass

@rawhttp
def run(request: AMLRequest):
    if request.method == "GET":
        return AMLResponse(request.args.get("text", ""), 200)
    body = request.get_data()
    if not body:
        return AMLResponse("nothing there", 422)
    return AMLResponse(body[::-1], 200, {"Content-Type": "application/octet-stream", "X-Length": str(len(body))})
"""

MULTI = """
import json, os
from pathlib import Path

def init():
    global factors
    folder = Path(os.environ["AZUREML_MODEL_DIR"]) / "models"
    factors = {path.parent.name: json.loads(path.read_text())["factor"] for path in folder.glob("*/model.json")}

def run(raw_data):
    request = json.loads(raw_data)
    return {"y": request["x"] * factors[request["model"]], "greeting": os.environ["GREETING"] + os.environ["NUMBER"]}
"""


@pytest.fixture(scope="module")
def endpoint(arm: Arm) -> Iterator[str]:
    """Deleted at the end, with all that it has."""
    yield "kinds"
    assert arm.run("DELETE", "onlineEndpoints/kinds")["status"] == "Succeeded"
    assert arm.call("GET", "onlineEndpoints/kinds/deployments/raw").status_code == 404


@pytest.fixture
def files(project: Path, client: MLClient) -> Path:
    """The project with the two deployments, and the endpoint."""
    (project / "endpoint.yml").write_text(ENDPOINT)
    (project / "raw.yml").write_text(DEPLOYMENT.format(name="raw", model="models/v1/model.json"))
    (project / "multi.yml").write_text(DEPLOYMENT.format(name="multi", model="models") + EXTRAS)
    (project / "code" / "raw.py").write_text(RAW)
    (project / "code" / "multi.py").write_text(MULTI)
    client.online_endpoints.begin_create_or_update(load_online_endpoint(project / "endpoint.yml")).result()
    return project


def test_raw_and_binary_bodies(client: MLClient, arm: Arm, files: Path, endpoint: str) -> None:
    """`@rawhttp`, AMLRequest and AMLResponse: bytes in, bytes out, its headers and status, and GET."""
    client.online_deployments.begin_create_or_update(load_online_deployment(files / "raw.yml")).result()
    arm.endpoint(endpoint, traffic={"raw": 100})
    url = arm.get(f"onlineEndpoints/{endpoint}")["properties"]["scoringUri"]
    headers = {"Authorization": f"Bearer {arm.key(endpoint)}", "Content-Type": "image/png"}
    body = bytes(range(256)) * 1000
    answer = arm.scoring.post(url, content=body, headers=headers)
    assert (answer.status_code, answer.content == body[::-1]) == (200, True)
    assert (answer.headers["content-type"], answer.headers["x-length"]) == ("application/octet-stream", "256000")
    assert arm.scoring.get(url, params={"text": "abc"}, headers=headers).text == "abc"
    refused: httpx.Response = arm.scoring.post(url, headers=headers)
    assert (refused.status_code, refused.headers["ms-azureml-model-error-statuscode"]) == (424, "422")
    assert refused.text == "nothing there"
    arm.endpoint(endpoint)


def test_a_folder_of_models_and_everything_else_that_a_deployment_may_say(
    client: MLClient, arm: Arm, files: Path, endpoint: str
) -> None:
    """It runs, and reads back as it was written; a second PUT of what was read is accepted."""
    client.online_deployments.begin_create_or_update(load_online_deployment(files / "multi.yml")).result()
    for model, y in (("v1", 4), ("v2", 6)):
        answer = arm.score(endpoint, {"x": 2, "model": model}, "multi").json()
        assert answer == {"y": y, "greeting": "hello3"}
    found = client.online_deployments.get("multi", endpoint)
    assert (found.tags, found.description, found.properties["kept"]) == ({"stage": "test"}, "two models", "yes")
    assert (found.request_settings.request_timeout_ms, found.request_settings.max_queue_wait_ms) == (9000, 2000)
    assert (found.liveness_probe.period, found.liveness_probe.failure_threshold) == (7, 9)
    assert found.app_insights_enabled is True
    collector = found.data_collector
    assert {name: part.enabled for name, part in collector.collections.items()} == {
        "model_inputs": "true",
        "model_outputs": "false",
    }
    assert (collector.rolling_rate, collector.sampling_rate) == ("Hour", 0.5)
    assert client.data.get("kinds-multi-model_inputs", version="1").path.endswith("kinds/multi/model_inputs")
    path = f"onlineEndpoints/{endpoint}/deployments/multi"
    before = arm.get(path)
    assert arm.run("PUT", path, before)["status"] == "Succeeded"  # the SDK cannot write back a collector that it read
    assert arm.get(path)["properties"] == before["properties"]


@pytest.mark.usefixtures("files")
def test_what_an_endpoint_may_say(client: MLClient, endpoint: str) -> None:
    """Identity, network access, description, tags and properties read back, and can be written again."""
    found = client.online_endpoints.get(endpoint)
    assert (found.description, found.tags, found.properties["purpose"]) == ("all sorts", {"team": "shop"}, "test")
    assert found.public_network_access == "Disabled"
    assert found.identity.type == "user_assigned"
    assert [identity.resource_id for identity in found.identity.user_assigned_identities] == [USER]
    again = client.online_endpoints.begin_create_or_update(found).result()
    assert (again.identity.type, again.public_network_access) == ("user_assigned", "Disabled")
