"""Custom containers and Triton, with a real container engine."""

import contextlib
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import (
    BuildContext,
    CodeConfiguration,
    DataCollector,
    DeploymentCollection,
    Environment,
    ManagedOnlineEndpoint,
    Model,
)

from localazure.testing import LocalAzure
from tests.support.localazure import collected
from tests.support.localazure.arm import Arm, Assets, wait_for
from tests.support.localazure.containers import (
    ROUTES,
    TRITON_ROUTES,
    build,
    containers,
    deployment,
    failure,
    hostname,
    replace_instance,
    server_image,
    state,
)
from tests.support.localazure.engine import docker, engine, triton_image
from tests.support.localazure.sdk import SUPPORT, sdk_client

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image of the server next door, in the engine that `docker` reaches from here on."""
    directory = tmp_path_factory.mktemp("image")
    with engine():
        yield server_image(directory)


@pytest.fixture(scope="module")
def azure(image: str) -> Iterator[LocalAzure]:  # noqa: ARG001 - after the engine
    """A local Azure of this module's own, which finds the engine."""
    with LocalAzure(timing="instant") as running:
        yield running


@pytest.fixture(scope="module")
def arm(azure: LocalAzure) -> Iterator[Arm]:
    """Plain HTTP to it."""
    with Arm(azure.environ) as plain:
        yield plain


@pytest.fixture(scope="module")
def endpoint(azure: LocalAzure, arm: Arm, image: str) -> Iterator[str]:
    """An endpoint with the custom container, created by the SDK, at 100%."""
    with pytest.MonkeyPatch.context() as patch:
        client = sdk_client(azure.environ, patch)
        client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name="boxes", auth_mode="key")).result()
        names = ("request", "response", "model_inputs")
        collector = DataCollector({name: DeploymentCollection(enabled="true") for name in names})
        client.online_deployments.begin_create_or_update(deployment("blue", image, data_collector=collector)).result()
    arm.endpoint("boxes", traffic={"blue": 100})
    yield "boxes"
    arm.run("DELETE", "onlineEndpoints/boxes")


def test_the_endpoint_s_scoring_address_leads_to_the_scoring_route(arm: Arm, endpoint: str) -> None:
    """As on Azure, where the creation of the deployment sets it; the model is mounted, and its folder is told."""
    assert arm.get(f"onlineEndpoints/{endpoint}")["properties"]["scoringUri"].endswith("/v1/models/scale:predict")
    answer = arm.score(endpoint, {"x": 4}).json()
    assert answer["y"] == 8
    assert answer["environment"]["AZUREML_MODEL_DIR"] == "/var/azureml-app/azureml-models/boxed/1"


def test_other_paths_raw_bodies_and_statuses_reach_the_container(arm: Arm, endpoint: str) -> None:
    """What lies below the endpoint's address is the container's own."""
    root = arm.get(f"onlineEndpoints/{endpoint}")["properties"]["scoringUri"].removesuffix("/v1/models/scale:predict")
    headers = {"Authorization": f"Bearer {arm.key(endpoint)}"}
    raw = bytes(range(256))
    assert arm.scoring.post(root + "/raw", content=raw, headers=headers).content == raw[::-1]
    answer = arm.scoring.post(root + "/teapot", headers=headers)
    assert (answer.status_code, answer.headers["ms-azureml-model-error-statuscode"]) == (424, "418")


def test_environment_variables_arrive_and_are_shown_to_no_other_user(arm: Arm, endpoint: str) -> None:
    """Neither in the arguments of a process, which all users see, nor those of this shell in the container."""
    environment = arm.score(endpoint, {"x": 1}).json()["environment"]
    assert environment["API_KEY"] == "se cr\net"
    assert environment["DOCKER_HOST"] == "for the container"
    assert "AZURE_CLIENT_SECRET" not in environment
    arguments = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            arguments.append(path.read_text())
    assert any("docker\0run" in words for words in arguments)
    assert not any(words in "".join(arguments) for words in ("se cr", "for the container"))


def test_its_payloads_are_collected(arm: Arm, endpoint: str) -> None:
    """At the gateway; what a script in the container collects by the library is only logged there, which is said."""
    answer = arm.score(endpoint, {"x": 4}, "blue")
    assert answer.json()["collects"] == {
        "collections": {
            name: {"enabled": True, "sampleRatePercentage": 100} for name in ("request", "response", "model_inputs")
        },
        "runMode": "local",
    }

    def events(name: str) -> dict[str, Any]:
        found = collected.look(arm, f"modelDataCollector/{endpoint}/blue/{name}")
        return {event["xrequestid"]: event for event in found}

    asked = wait_for(lambda: events("request").get(answer.headers["x-request-id"]))
    assert (asked["data"], asked["path"]) == ({"x": 4}, "/v1/models/scale:predict")
    answered = wait_for(lambda: events("response").get(answer.headers["x-request-id"]))
    assert answered["datainblob"] == "true"  # the container does not say that it is JSON
    logs = arm.call("POST", f"onlineEndpoints/{endpoint}/deployments/blue/getLogs", {}).json()["content"]
    assert "collects: it is logged" in logs


def test_its_output_is_in_the_logs(arm: Arm, endpoint: str) -> None:
    """As with every other deployment."""
    logs = arm.call("POST", f"onlineEndpoints/{endpoint}/deployments/blue/getLogs", {}).json()["content"]
    assert "serving" in logs


def test_only_the_disk_of_a_container_is_measured(arm: Arm, endpoint: str) -> None:
    """What the engine's processes use of the machine has no value rather than a wrong one."""
    path = f"onlineEndpoints/{endpoint}/deployments/blue/providers/Microsoft.Insights/metrics"

    def measured() -> set[str]:
        names = "CpuUtilizationPercentage,CpuMemoryUtilizationPercentage,DiskUtilization"
        found = arm.http.get(f"{arm.workspace}/{path}", params={"metricnames": names}).json()["value"]
        return {metric["name"]["value"] for metric in found if metric["timeseries"]}

    assert wait_for(measured) == {"DiskUtilization"}


def test_a_container_that_dies_is_replaced(arm: Arm, endpoint: str, azure: LocalAzure) -> None:
    """By itself or with its node; a new one serves, and nothing is left of the old."""
    root = arm.get(f"onlineEndpoints/{endpoint}")["properties"]["scoringUri"].removesuffix("/v1/models/scale:predict")
    before = containers()
    died = arm.scoring.post(root + "/die", headers={"Authorization": f"Bearer {arm.key(endpoint)}"})
    assert (died.status_code, died.headers["ms-azureml-model-error-statuscode"]) == (424, "502")
    wait_for(lambda: arm.score(endpoint, {"x": 1}).status_code, lambda status: status == 200)
    again = containers()
    assert again != before
    azure.chaos.kill_instance(endpoint, "blue")
    wait_for(lambda: containers() not in ([], again) and arm.score(endpoint, {"x": 1}).status_code, lambda s: s == 200)
    assert not set(before + again) & set(docker("ps", "--all", "--quiet").splitlines())


def test_it_is_updated_scaled_and_mounted_elsewhere(arm: Arm, client: MLClient, image: str, endpoint: str) -> None:
    """`model_mount_path` moves the model; code is mounted beside it; one container for each instance."""
    code = CodeConfiguration(code=str(SUPPORT / "project/code"), scoring_script="score.py")
    changed = deployment("blue", image, model_mount_path="/var/my,models", code_configuration=code)
    changed.instance_count = 2
    client.online_deployments.begin_create_or_update(changed).result()
    environment = arm.score(endpoint, {"x": 1}).json()["environment"]
    assert environment["AZUREML_MODEL_DIR"] == "/var/my,models/boxed/1"
    assert environment["AML_APP_ROOT"].startswith("/var/azureml-app/")
    assert environment["AZUREML_ENTRY_SCRIPT"] == "score.py"
    assert len(containers()) == 2


def test_a_dockerfile_is_built(client: MLClient, arm: Arm, image: str, endpoint: str, tmp_path: Path) -> None:
    """From the build context that came with the environment; a failed build says why."""
    (tmp_path / "greeting").write_text("hello")
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nCOPY greeting /greeting\nENV GREETING=built\n")
    built = Environment(name="built", build=BuildContext(path=tmp_path), inference_config=ROUTES)
    client.online_deployments.begin_create_or_update(deployment("green", image, environment=built)).result()
    assert arm.score(endpoint, {"x": 1}, "green").json()["environment"]["GREETING"] == "built"
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nCOPY missing /missing\n")
    broken = build(client, tmp_path, "1")
    assert failure(arm, "red", environmentId=broken)["code"] == "ImageBuildFailure"


def test_an_update_that_fails_leaves_the_image_that_was_built_before(
    client: MLClient, arm: Arm, image: str, endpoint: str, azure: LocalAzure, tmp_path: Path
) -> None:
    """Its instances go on, and one that dies is replaced by one of the same image, not of the newer."""
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nENV GREETING=before\n")
    environment = Environment(name="before", build=BuildContext(path=tmp_path), inference_config=ROUTES)
    client.online_deployments.begin_create_or_update(deployment("green", image, environment=environment)).result()
    (tmp_path / "Dockerfile").write_text(f'FROM {image}\nENV GREETING=after\nCMD ["python3", "-c", "1/0"]\n')
    newer = build(client, tmp_path, "2")
    assert "ZeroDivisionError" in failure(arm, "green", environmentId=newer)["message"]
    replace_instance(azure, arm, endpoint)
    assert arm.score(endpoint, {"x": 1}, "green").json()["environment"]["GREETING"] == "before"


def test_a_tag_that_has_moved_changes_nothing_until_the_next_update(
    client: MLClient, arm: Arm, image: str, endpoint: str, azure: LocalAzure, tmp_path: Path
) -> None:
    """An instance that dies is replaced by one of the same image; all instances are of the new one after an update."""

    def tag(greeting: str) -> None:
        (tmp_path / "Dockerfile").write_text(f"FROM {image}\nENV GREETING={greeting}\n")
        docker("build", "--quiet", "--tag", "localazure-test/moving", tmp_path)

    tag("one")
    moving = deployment(
        "green", image, environment=Environment(image="localazure-test/moving", inference_config=ROUTES)
    )
    client.online_deployments.begin_create_or_update(moving).result()
    tag("two")
    replace_instance(azure, arm, endpoint)
    assert arm.score(endpoint, {"x": 1}, "green").json()["environment"]["GREETING"] == "one"
    client.online_deployments.begin_create_or_update(moving).result()
    assert arm.score(endpoint, {"x": 1}, "green").json()["environment"]["GREETING"] == "two"


@pytest.mark.usefixtures("endpoint")
def test_what_goes_wrong_with_an_image_fails_the_deployment(arm: Arm, image: str) -> None:
    """An image that is nowhere, a program that ends, a container that never becomes ready: nothing stays behind."""
    before = set(docker("ps", "--all", "--quiet").splitlines())
    routes = {f"{name.removesuffix('_route')}Route": route for name, route in ROUTES.items()}
    for name, reference in (("nowhere", "localhost:1/nowhere:1"), ("here", image)):
        properties = {"image": reference, "inferenceConfig": routes}
        assert arm.call("PUT", f"environments/{name}/versions/1", {"properties": properties}).status_code == 201
    missing = failure(arm, "red", environmentId=f"{arm.workspace}/environments/nowhere/versions/1")
    assert (missing["code"], "localhost:1" in missing["message"]) == ("BadArgument", True)
    here = f"{arm.workspace}/environments/here/versions/1"
    crashed = failure(arm, "red", environmentId=here, model=None)
    assert (crashed["code"], "KeyError: 'AZUREML_MODEL_DIR'" in crashed["message"]) == ("ResourceNotReady", True)
    probe = {"initialDelay": "PT1S", "period": "PT1S", "failureThreshold": 2}
    never = failure(arm, "red", environmentId=here, environmentVariables={"NEVER_READY": "1"}, readinessProbe=probe)
    assert (never["code"], "readiness probe" in never["message"]) == ("ResourceNotReady", True)
    assert set(docker("ps", "--all", "--quiet").splitlines()) == before


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize(
    ("environment", "changes", "status", "word"),
    [
        ({"condaFile": "dependencies: [python=3.11]"}, {}, 501, "conda file"),
        ({"image": None}, {}, 400, "neither an image"),
        ({"build": {"contextUri": "CODE", "dockerfilePath": "../Dockerfile"}}, {}, 400, "dockerfilePath"),
        ({}, {"environmentVariables": {"DOCKER_HOST": "two\nlines"}}, 501, "DOCKER_HOST"),
        ({}, {"modelMountPath": "var/models"}, 400, "modelMountPath"),
    ],
    ids=["a conda file for an image", "no image", "a Dockerfile elsewhere", "lines in a variable", "a relative mount"],
)
def test_what_no_container_can_be_made_of_is_refused(
    arm: Arm, image: str, environment: dict[str, Any], changes: dict[str, Any], status: int, word: str
) -> None:
    """When the deployment is created, with the reason."""
    routes = {f"{name.removesuffix('_route')}Route": route for name, route in ROUTES.items()}
    path = f"environments/odd-{abs(hash(word))}/versions/1"
    properties = {"image": image, "inferenceConfig": routes, **environment}
    assert arm.call("PUT", path, {"properties": properties}).status_code == 201
    model = f"{arm.workspace}/models/boxed/versions/1"
    body = arm.deployment(Assets(code="", environment="", models=[model]), codeConfiguration=None)
    body["properties"] |= {"environmentId": f"{arm.workspace}/{path}", **changes}
    answer = arm.call("PUT", "onlineEndpoints/boxes/deployments/odd", body)
    assert (answer.status_code, word in answer.text) == (status, True), answer.text
    assert arm.call("GET", "onlineEndpoints/boxes/deployments/odd").status_code == 404


def test_containers_die_with_local_azure_and_come_back_with_it(tmp_path: Path, image: str) -> None:
    """Even when it is killed: none is left. The next one on the same directory starts them again."""
    before = set(containers())
    with LocalAzure(tmp_path, timing="instant") as killed, Arm(killed.environ) as arm:
        with pytest.MonkeyPatch.context() as patch:
            client = sdk_client(killed.environ, patch)
            arm.endpoint("boxes")
            client.online_deployments.begin_create_or_update(deployment("blue", image)).result()
        os.kill(killed.pid, signal.SIGKILL)
        wait_for(lambda: set(containers()), lambda found: found == before)
    with LocalAzure(tmp_path, timing="instant") as again, Arm(again.environ) as arm:
        wait_for(lambda: arm.score("boxes", {"x": 1}, "blue"), lambda answer: answer.status_code == 200)
    assert set(containers()) == before


def test_containers_come_back_with_their_engine(tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it does not answer when local Azure starts, what served serves again as soon as it does.

    What was being changed, and what is changed meanwhile, has failed and serves as before.
    """
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "Dockerfile").write_text(f"FROM {image}\n")
    built = Environment(name="plain", build=BuildContext(path=tmp_path / "context"), inference_config=ROUTES)
    with (
        LocalAzure(tmp_path / "state", timing="instant") as killed,
        Arm(killed.environ) as arm,
        pytest.MonkeyPatch.context() as patch,
    ):
        client = sdk_client(killed.environ, patch)
        arm.endpoint("boxes")
        client.online_deployments.begin_create_or_update(deployment("blue", image, environment=built)).result()
        for name in ("green", "red"):
            client.online_deployments.begin_create_or_update(deployment(name, image)).result()
        hang = killed.chaos.hang(method="PUT")
        changed = arm.get("onlineEndpoints/boxes/deployments/green")
        changed["properties"]["environmentVariables"] = {"NEVER_READY": "1"}
        assert arm.call("PUT", "onlineEndpoints/boxes/deployments/green", changed).status_code == 201
        hang.wait()
        os.kill(killed.pid, signal.SIGKILL)
    here = Path(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/socket")
    names = ("blue", "green", "red")
    with LocalAzure(tmp_path / "state", timing="instant") as again, Arm(again.environ) as arm:
        for name in names:
            wait_for(partial(state, arm, name), lambda seen: seen == "Failed")
            assert arm.score("boxes", {"x": 1}, name).status_code != 200
        more = {"sku": {"name": "Default", "capacity": 2}}
        assert arm.run("PATCH", "onlineEndpoints/boxes/deployments/red", more)["status"] == "Failed"
        (tmp_path / "socket").symlink_to(here)
        for name in names:
            wait_for(partial(arm.score, "boxes", {"x": 1}, name), lambda answer: answer.status_code == 200)
        wait_for(lambda: state(arm, "blue"), lambda seen: seen == "Succeeded")
        assert [state(arm, name) for name in names] == ["Succeeded", "Failed", "Failed"]
        first = hostname(arm, "blue")
        assert arm.run("PATCH", "onlineEndpoints/boxes/deployments/red", more)["status"] == "Succeeded"
        assert hostname(arm, "blue") == first


def test_triton_serves_its_models_without_code(client: MLClient, arm: Arm, endpoint: str, tmp_path: Path) -> None:
    """NVIDIA's server with a model repository and `type: triton_model`, asked in its own protocol."""
    image = triton_image(tmp_path, "localazure-test/python")
    repository = Model(name="repository", version="1", path=SUPPORT / "triton", type="triton_model")
    environment = Environment(image=image, inference_config=TRITON_ROUTES)
    serving = deployment("triton", image, model=repository, environment=environment, environment_variables={})
    client.online_deployments.begin_create_or_update(serving).result()
    uri = arm.get(f"onlineEndpoints/{endpoint}")["properties"]["scoringUri"]
    headers = {"Authorization": f"Bearer {arm.key(endpoint)}", "azureml-model-deployment": "triton"}
    inputs = [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1.5, 4]}]
    answer: httpx.Response = arm.scoring.post(f"{uri}v2/models/scale/infer", json={"inputs": inputs}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["data"] == [3, 8]
