"""An endpoint that was made with nothing but Azure's SDK is adopted, and no file is edited."""

import asyncio
import json
import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import (
    CodeConfiguration,
    DataCollector,
    DeploymentCollection,
    Environment,
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
    Model,
    OnlineRequestSettings,
)

from saferollout.azure.client import Client
from saferollout.azure.workspace import Workspace
from saferollout.config import project
from saferollout.config.model_version import ModelVersion
from saferollout.config.project import resolve_workspace
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.gates import smoke_test
from saferollout.gates.scoring import Scorer
from saferollout.rollout import begin
from saferollout.rollout.create import create_candidate
from saferollout.rollout.owner import Owner
from saferollout.rollout.rollback import roll_back
from saferollout.rollout.rollout import Rollout
from tests.support.documents import Command, commands
from tests.support.forks import forked
from tests.support.localazure import collected
from tests.support.localazure.arm import Arm

Saferollout = Callable[..., tuple[int, dict[str, Any], str]]

NAME = "adopted"
ADOPT = "Adopt an endpoint that exists, in five minutes"
IMAGES = [bytes([number]) + bytes(range(256)) * 20 for number in range(3)]
ANN = Owner(name="ann@laptop", flow_run="run-1")
SCRIPT = """
import json, os
from pathlib import Path
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse

def init():
    global factor
    (model,) = Path(os.environ["AZUREML_MODEL_DIR"]).rglob("model.json")
    factor = json.loads(model.read_text())["factor"]

@rawhttp
def run(request: AMLRequest):
    body = request.get_data()
    if request.headers["Content-Type"] == "image/png":
        return AMLResponse(body[::-1], 200, {"Content-Type": "image/png"})
    return AMLResponse({"y": json.loads(body)["x"] * factor}, 200, json_str=True)
"""


PRIVACY = """
def redact(body):
    if isinstance(body, dict):
        body.get("customer", {}).pop("email", None)
    return body
"""


@pytest.fixture
def endpoint(project: Path, client: MLClient, arm: Arm) -> Iterator[str]:
    """Made by the SDK's classes, with files that only their maker has; its deployment collects."""
    (project / "code" / "adopted.py").write_text(SCRIPT)
    endpoint = ManagedOnlineEndpoint(name=NAME, auth_mode="key", tags={"team": "fraud", "since": "2024-01-01"})
    client.online_endpoints.begin_create_or_update(endpoint).result()
    for version in ("1", "2"):
        model = Model(name="adopted", version=version, path=project / f"models/v{version}")
        client.models.create_or_update(model)
    deployment = ManagedOnlineDeployment(
        name="prod",
        endpoint_name=NAME,
        description="the first: made by hand",
        tags={"stage": "yes"},
        model="azureml:adopted:1",
        environment=Environment(image="local/none", conda_file=str(project / "conda.yml")),
        code_configuration=CodeConfiguration(code=str(project / "code"), scoring_script="adopted.py"),
        environment_variables={"NUMBER": "007", "FLAG": "no", "TEXT": 'a: b # c\n"d"'},
        instance_type="Standard_DS3_v2",
        instance_count=1,
        request_settings=OnlineRequestSettings(request_timeout_ms=5500, max_queue_wait_ms=300),
        data_collector=DataCollector(
            collections={name: DeploymentCollection(enabled="true") for name in ("request", "response")}
        ),
    )
    client.online_deployments.begin_create_or_update(deployment).result()
    endpoint.traffic = {"prod": 100}
    client.online_endpoints.begin_create_or_update(endpoint).result()
    yield NAME
    arm.run("DELETE", f"onlineEndpoints/{NAME}")


@pytest.fixture
def saferollout(forks: str) -> Saferollout:
    """Run a command in a folder; return its exit code, its result and what it said."""

    def run(folder: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
        command = [str(Path(sys.executable).parent / "saferollout"), *arguments, "--json"]
        env = forked(dict(os.environ), forks) | {"PREFECT_HOME": str(folder.parent / "prefect")}
        env.pop("PREFECT_API_URL", None)
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)
        return done.returncode, json.loads(done.stdout or "{}"), done.stderr

    return run


def as_documented(command: Command) -> list[str]:
    """The arguments of a command, with what this test has in the place of an example's."""
    text = command.text.partition(" #")[0].replace("<endpoint>", NAME).replace("customer.email", "privacy:redact")
    return shlex.split(text)[1:]


def use(arm: Arm) -> dict[str, Any]:
    """Let users send requests, some of them wrong; return their ids and answers."""
    url = arm.get(f"onlineEndpoints/{NAME}")["properties"]["scoringUri"]
    headers = {"Authorization": f"Bearer {arm.key(NAME)}", "x-ms-client-request-id": "shop-1"}
    bodies: list[Any] = [{"x": number % 5, "customer": {"email": f"{number}@example.com"}} for number in range(10)]
    answers = [arm.scoring.post(url, json=body, headers=headers) for body in [*bodies, {"wrong": 1}]]
    answers += [arm.scoring.post(url, content=body, headers=headers | {"Content-Type": "image/png"}) for body in IMAGES]
    assert [answer.status_code for answer in answers] == [*[200] * 10, 424, *[200] * 3]
    assert [answer.content for answer in answers[-3:]] == [body[::-1] for body in IMAGES]
    return {answer.headers["x-request-id"]: answer for answer in answers}


def test_an_endpoint_is_adopted(endpoint: str, arm: Arm, saferollout: Saferollout, tmp_path: Path) -> None:
    """`init` and `record` write what `run` takes: nothing to do at first, then a new model, with images and JSON."""
    folder = tmp_path / "adopted"
    sent = use(arm)
    for name in ("request", "response"):
        collected.read(arm, f"modelDataCollector/{endpoint}/prod/{name}", len(sent))
    before = [arm.get(f"onlineEndpoints/{endpoint}"), arm.get(f"onlineEndpoints/{endpoint}/deployments/prod")]

    folder.mkdir()
    (folder / "privacy.py").write_text(PRIVACY)
    init, record, run = (as_documented(command) for command in commands("README.md", ADOPT))
    code, written, errors = saferollout(folder, *init)
    assert (code, written.get("live"), written.get("left_out")) == (0, "prod", []), errors
    code, recorded, errors = saferollout(folder, *record)
    assert (code, recorded.get("requests")) == (0, 8), errors

    lines = [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]
    assert {line["id"] for line in lines} <= set(sent)
    assert sorted(line["request"]["x"] for line in lines if "request" in line) == [0, 1, 2, 3, 4]
    assert [line["request"]["customer"] for line in lines if "request" in line] == [{}] * 5
    images = [line for line in lines if "body_file" in line]
    assert sorted((folder / line["body_file"]).read_bytes() for line in images) == IMAGES
    assert {line["content_type"] for line in images} == {"image/png"}
    assert recorded["left_out"] == {"the same as another one": 5, "answered with an error": 1}
    for path in ("requests.jsonl", images[0]["body_file"], "deployment.yml"):
        assert stat.S_IMODE((folder / path).stat().st_mode) == 0o600
    signature = arm.call("POST", "datastores/workspaceblobstore/listSecrets").json()["sasToken"]
    assert not any(secret in errors for secret in (signature[-20:], "example.com"))

    code, outcome, errors = saferollout(folder, *run)
    assert (code, outcome.get("outcome")) == (0, "nothing_to_do"), errors
    assert [arm.get(f"onlineEndpoints/{endpoint}"), arm.get(f"onlineEndpoints/{endpoint}/deployments/prod")] == before

    evidence, candidate = roll_out(folder, endpoint, arm)
    live = arm.get(f"onlineEndpoints/{endpoint}/deployments/prod")
    assert (evidence.verdict, evidence.checks[0].candidate) == (GateVerdict.PASSED, "0 of 8"), evidence.summary
    differing = {key for key, value in candidate["properties"].items() if value != live["properties"].get(key)}
    assert differing == {"model", "properties", "environmentVariables", "dataCollector"}
    assert without_model(candidate) == without_model(live)


def without_model(deployment: dict[str, Any]) -> dict[str, Any]:
    """A deployment's environment variables but for the model's place, and its description."""
    variables = deployment["properties"]["environmentVariables"]
    return {key: value for key, value in variables.items() if key != "AZUREML_MODEL_DIR"}


def roll_out(folder: Path, endpoint: str, arm: Arm) -> tuple[Evidence, dict[str, Any]]:
    """Bring a candidate of the next model up by the files as they are; return its smoke test and itself."""
    azure = Workspace(Client(resolve_workspace(None)))
    found = project.load(folder / "rollout.yaml", ModelVersion.parse("azureml:adopted:2"))
    rollout = begin.begin(azure, found, ANN, gone=None, begun_before=False)
    assert rollout is not None
    create_candidate(azure, rollout)
    try:
        evidence = asyncio.run(smoke(azure, rollout))
        return evidence, arm.get(f"onlineEndpoints/{endpoint}/deployments/{rollout.candidate}")
    finally:
        roll_back(azure, endpoint)


async def smoke(azure: Workspace, rollout: Rollout) -> Evidence:
    """The smoke test, as the task does it."""
    state = azure.get_endpoint(rollout.endpoint)
    async with Scorer(state.scoring_uri, azure.secret(state.name)) as scorer:
        return await smoke_test.run(
            scorer,
            rollout.project.requests(),
            rollout.project.config.smoke_test,
            candidate=rollout.candidate,
            live=rollout.live,
        )


def test_without_collection_it_is_said_how_to_switch_it_on(
    arm: Arm, assets: Any, saferollout: Saferollout, tmp_path: Path
) -> None:
    """With the lines of YAML to add; no file is written."""
    arm.endpoint("uncollected")
    arm.deploy("uncollected", "blue", assets)
    arm.endpoint("uncollected", traffic={"blue": 100})

    code, refused, errors = saferollout(tmp_path, "record", "uncollected")
    assert (code, refused["outcome"]) == (1, "refused")
    assert 'request: {enabled: "true"}' in refused["reason"]
    assert 'request: {enabled: "true"}' in errors
    assert list(tmp_path.iterdir()) == []
    arm.run("DELETE", "onlineEndpoints/uncollected")
