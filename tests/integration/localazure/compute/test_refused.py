"""Deployments that run on Azure and cannot run here: refused when they are created, with the reason."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, Assets

ROUTE = {"path": "/v2/health", "port": 8000}
BYOC = {"livenessRoute": ROUTE, "readinessRoute": ROUTE, "scoringRoute": {"path": "/", "port": 8000}}


@pytest.fixture(scope="module")
def endpoint(arm: Arm) -> Iterator[str]:
    """An endpoint without deployments."""
    arm.endpoint("refusing")
    yield "refusing"
    arm.run("DELETE", "onlineEndpoints/refusing")


@pytest.mark.parametrize(
    ("environment", "word"),
    [
        ({"image": "tritonserver:23.08", "inferenceConfig": BYOC}, "tritonserver:23.08 brings its own server"),
        ({"image": "sklearn-inference:latest"}, "sklearn-inference:latest brings its own server"),
        ({"build": {"contextUri": "https://somewhere/docker"}}, "the image of Dockerfile brings its own server"),
    ],
    ids=["custom container", "prebuilt image", "build context"],
)
def test_what_needs_a_container_engine(
    arm: Arm, assets: Assets, endpoint: str, environment: dict[str, Any], word: str
) -> None:
    """Whatever code and model come with it; the environment itself can be registered, as it can be read."""
    path = f"environments/needs-engine-{abs(hash(word))}/versions/1"
    assert arm.call("PUT", path, {"properties": environment}).status_code == 201
    body = arm.deployment(assets, environmentId=f"{arm.workspace}/{path}")
    answer = arm.call("PUT", f"onlineEndpoints/{endpoint}/deployments/blue", body)
    assert answer.status_code == 501
    assert "container engine" in answer.json()["error"]["message"]
    assert word in answer.json()["error"]["message"]
    assert arm.call("GET", f"onlineEndpoints/{endpoint}/deployments/blue").status_code == 404


def test_a_triton_model_without_code(arm: Arm, assets: Assets, endpoint: str) -> None:
    """`type: triton_model` needs Triton's container."""
    uri = arm.get(assets.models[0].removeprefix(arm.workspace + "/"))["properties"]["modelUri"]
    properties = {"modelUri": uri, "modelType": "triton_model"}
    assert arm.call("PUT", "models/trident/versions/1", {"properties": properties}).status_code == 201
    body = arm.deployment(assets, codeConfiguration=None, environmentId=None)
    body["properties"]["model"] = f"{arm.workspace}/models/trident/versions/1"
    answer = arm.call("PUT", f"onlineEndpoints/{endpoint}/deployments/blue", body)
    assert (answer.status_code, "container engine" in answer.text) == (501, True)


@pytest.mark.parametrize(
    "changes",
    [
        {"environmentId": "azureml://registries/azureml/environments/sklearn-1.5/versions/1"},
        {"codeConfiguration": None},
    ],
    ids=["an asset of a registry", "no code"],
)
def test_what_has_no_counterpart_here(arm: Arm, assets: Assets, endpoint: str, changes: dict[str, Any]) -> None:
    """501, which says what is missing."""
    body = arm.deployment(assets, **changes)
    answer = arm.call("PUT", f"onlineEndpoints/{endpoint}/deployments/blue", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "NotImplemented")


def test_files_in_other_places_are_refused(arm: Arm) -> None:
    """Jobs' outputs, other datastores, other storage accounts: 501 when the model or the code is registered."""
    places = (
        "azureml://jobs/train/outputs/artifacts/paths/model",
        "azureml://datastores/lake/paths/model",
        "https://elsewhere.blob.core.windows.net/azureml-blobstore/model",
        f"{arm.url.rpartition(':')[0]}:1/azureml-blobstore/model",
        f"{arm.url.replace('https', 'http')}/azureml-blobstore/model",
    )
    for uri in places:
        for kind, key in (("models", "modelUri"), ("codes", "codeUri")):
            answer = arm.call("PUT", f"{kind}/elsewhere/versions/1", {"properties": {key: uri}})
            assert (answer.status_code, answer.json()["error"]["code"]) == (501, "NotImplemented")


def test_a_mount_path_is_for_containers(arm: Arm, assets: Assets, endpoint: str) -> None:
    """Other deployments have their models where Azure puts them; a path must be one in the container."""
    for mount in ("/var/models", "var/models"):
        body = arm.deployment(assets, codeConfiguration=None, environmentId=None, modelMountPath=mount)
        answer = arm.call("PUT", f"onlineEndpoints/{endpoint}/deployments/blue", body)
        assert (answer.status_code, "modelMountPath" in answer.text) == (400, True)


def test_an_engine_that_hangs_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Local Azure starts, and refuses containers as it does without an engine."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "socket"))
        silent.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/socket")
        with LocalAzure(timing="instant") as hanging, Arm(hanging.environ) as arm:
            arm.endpoint("boxes")
            arm.call("PUT", "environments/box/versions/1", {"properties": {"image": "box:1"}})
            body = arm.deployment(Assets(code="", environment="", models=[""]), codeConfiguration=None)
            body["properties"] |= {"environmentId": f"{arm.workspace}/environments/box/versions/1"}
            answer = arm.call("PUT", "onlineEndpoints/boxes/deployments/blue", body)
            assert (answer.status_code, "does not answer" in answer.text) == (501, True)
