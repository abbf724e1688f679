"""Deployments that cannot work: Failed, with Azure's code, a message that tells, and logs."""

import json
import re
from pathlib import Path

import pytest
from azure.ai.ml import MLClient, load_online_deployment, load_online_endpoint
from azure.ai.ml.entities._assets import Code
from azure.core.exceptions import HttpResponseError

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, Assets, message, wait_for


@pytest.fixture(scope="module")
def endpoint(arm: Arm) -> str:
    """An endpoint without deployments."""
    arm.endpoint("failures")
    return "failures"


def path(name: str) -> str:
    """Of a deployment."""
    return f"onlineEndpoints/failures/deployments/{name}"


@pytest.mark.usefixtures("endpoint")
def test_init_that_raises_fails_the_deployment_for_the_sdk(client: MLClient, project: Path) -> None:
    """`.result()` raises ResourceNotReady with the exception's own words; the logs have the traceback."""
    client.online_endpoints.begin_create_or_update(load_online_endpoint(project / "endpoint.yml")).result()
    deployment = load_online_deployment(project / "blue-deployment.yml")
    deployment.environment_variables = {"BREAK_INIT": "1"}
    with pytest.raises(HttpResponseError) as caught:
        client.online_deployments.begin_create_or_update(deployment).result()
    assert caught.value.error is not None
    assert caught.value.error.code == "ResourceNotReady"
    assert "RuntimeError: the model cannot be loaded" in str(caught.value.error.message)
    assert client.online_deployments.get("blue", "scale").provisioning_state.lower() == "failed"
    logs = client.online_deployments.get_logs("blue", "scale", lines=200)
    assert "loading the model" in logs
    assert 'raise RuntimeError("the model cannot be loaded")' in logs
    client.online_endpoints.begin_delete("scale").result()


@pytest.mark.usefixtures("endpoint")
def test_an_environment_that_does_not_resolve_is_an_image_build_failure(arm: Arm, assets: Assets) -> None:
    """The message and the logs name the package."""
    conda = "dependencies:\n  - pip:\n      - azureml-inference-server-http==0.0.0.1\n"
    arm.call("PUT", "environments/broken/versions/1", {"properties": {"condaFile": conda, "image": "local/none"}})
    body = arm.deployment(assets, environmentId=f"{arm.workspace}/environments/broken/versions/1")
    ended = arm.run("PUT", path("unbuilt"), body)
    assert (ended["status"], ended["error"]["code"]) == ("Failed", "ImageBuildFailure")
    assert "azureml-inference-server-http==0.0.0.1" in ended["error"]["message"]
    assert arm.get(path("unbuilt"))["properties"]["provisioningState"] == "Failed"
    logs = arm.call("POST", path("unbuilt") + "/getLogs", {"containerType": "InferenceServer", "tail": 50})
    assert "azureml-inference-server-http==0.0.0.1" in logs.json()["content"]


@pytest.mark.usefixtures("endpoint")
def test_what_an_environment_lacks_is_named(arm: Arm, assets: Assets, client: MLClient, project: Path) -> None:
    """Packages that pip cannot give, and a Python that cannot be had.

    In the log, whatever becomes of the deployment; where it fails, at the end of the message as well.
    """
    left_out = " Left out, because pip cannot give them: openmm=8.1, libpng."

    def environment(version: str, *pip: str) -> str:
        packages = ["python=3.2", "openmm=8.1", "libpng", {"pip": ["azureml-inference-server-http==1.5.1", *pip]}]
        properties = {"condaFile": json.dumps({"dependencies": packages}), "image": "local/none"}
        assert (
            arm.call("PUT", f"environments/partial/versions/{version}", {"properties": properties}).status_code == 201
        )
        return f"{arm.workspace}/environments/partial/versions/{version}"

    body = arm.deployment(assets, environmentId=environment("1"))
    assert arm.run("PUT", path("partial"), body)["status"] == "Succeeded"
    logs = arm.call("POST", path("partial") + "/getLogs", {"tail": 1000}).json()["content"]
    (replaced,) = set(re.findall(r"WARNING:( Python 3\.2 is not on this machine .*)", logs))
    assert arm.score("failures", {}, "partial").json()["python"] in replaced
    for package in ("openmm=8.1", "libpng"):
        assert f"the conda package '{package}' is not installed" in logs

    script = project / "code" / "score.py"
    script.write_text(f"import openmm\n{script.read_text()}")
    code = client._code.create_or_update(Code(name="importing", version="1", path=project / "code"))  # noqa: SLF001 - the SDK registers code for its own use only
    body["properties"]["codeConfiguration"]["codeId"] = code.id
    failed = arm.run("PUT", path("partial"), body)["error"]
    assert (failed["code"], "No module named 'openmm'" in failed["message"]) == ("ResourceNotReady", True)
    assert failed["message"].endswith(replaced + left_out)

    body["properties"]["environmentId"] = environment("2", "azureml-inference-server-http==0.0.0.1")
    failed = arm.run("PUT", path("partial"), body)["error"]
    assert (failed["code"], failed["message"].endswith(replaced + left_out)) == ("ImageBuildFailure", True)


@pytest.mark.usefixtures("endpoint")
def test_a_missing_scoring_script_is_a_bad_argument(arm: Arm, assets: Assets) -> None:
    """The message names the script and what there is."""
    body = arm.deployment(assets, codeConfiguration={"codeId": assets.code, "scoringScript": "scoer.py"})
    ended = arm.run("PUT", path("scriptless"), body)
    assert (ended["status"], ended["error"]["code"]) == ("Failed", "BadArgument")
    assert "scoer.py" in ended["error"]["message"]
    assert "score.py" in ended["error"]["message"]


@pytest.mark.usefixtures("endpoint")
def test_a_scoring_script_outside_of_the_code_is_refused(arm: Arm, assets: Assets) -> None:
    """Whatever it points to."""
    body = arm.deployment(assets, codeConfiguration={"codeId": assets.code, "scoringScript": "../../../lock"})
    assert arm.run("PUT", path("outside"), body)["error"]["code"] == "BadArgument"


@pytest.mark.usefixtures("endpoint")
def test_a_model_that_is_not_registered_is_refused_at_once(arm: Arm, assets: Assets) -> None:
    """With 404, before anything is created."""
    answer = arm.call("PUT", path("modelless"), arm.deployment(assets) | {} | _model(arm, assets, "nothing/versions/1"))
    assert answer.status_code == 404
    assert "nothing" in message(answer)
    assert arm.call("GET", path("modelless")).status_code == 404


def test_a_failed_deployment_can_be_repaired(arm: Arm, assets: Assets, endpoint: str) -> None:
    """The next update makes it Succeeded; before, it can take no traffic."""
    broken = arm.deployment(assets, environmentVariables={"BREAK_INIT": "1"})
    assert arm.run("PUT", path("repaired"), broken)["status"] == "Failed"
    refused = arm.call(
        "PUT",
        f"onlineEndpoints/{endpoint}",
        {"location": "local", "properties": {"authMode": "Key", "traffic": {"repaired": 100}}},
    )
    assert refused.status_code == 400
    arm.deploy(endpoint, "repaired", assets)
    assert arm.score(endpoint, {"x": 1}, "repaired").json()["y"] == 2


def test_a_failed_update_leaves_the_old_revision_serving(arm: Arm, assets: Assets, endpoint: str) -> None:
    """State Failed, but users do not notice."""
    arm.deploy(endpoint, "kept", assets)
    broken = arm.deployment(assets, model=2, environmentVariables={"BREAK_INIT": "1"})
    assert arm.run("PUT", path("kept"), broken)["status"] == "Failed"
    assert arm.get(path("kept"))["properties"]["provisioningState"] == "Failed"
    assert arm.score(endpoint, {"x": 1}, "kept").json()["y"] == 2


def test_an_instance_that_dies_is_replaced(azure: LocalAzure, arm: Arm, assets: Assets, endpoint: str) -> None:
    """The request that killed it fails as a model error; meanwhile the other instance answers; then two do again."""
    arm.deploy(endpoint, "mortal", assets, capacity=2)
    before = arm.processes(endpoint, "mortal", 2)
    assert len(before) == 2
    killed = arm.score(endpoint, {"die": True}, "mortal")
    assert killed.status_code == 424
    assert killed.headers["ms-azureml-model-error-statuscode"] == "502"
    for _ in range(20):
        assert arm.score(endpoint, {}, "mortal").status_code == 200
    after = wait_for(lambda: instances(arm, endpoint), lambda seen: len(seen - before) == 1 and len(seen & before) == 1)
    assert len(after) == 2
    assert "ended with code" in (azure.state_dir / "localazure.log").read_text()


def instances(arm: Arm, endpoint: str) -> set[int]:
    """The processes that answer now."""
    return {arm.score(endpoint, {}, "mortal").json()["pid"] for _ in range(12)}


def _model(arm: Arm, assets: Assets, name: str) -> dict[str, object]:
    return {"properties": {**arm.deployment(assets)["properties"], "model": f"{arm.workspace}/models/{name}"}}
