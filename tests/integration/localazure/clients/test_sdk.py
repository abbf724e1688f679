"""azure-ai-ml, unchanged: what the walk leaves out, and updates in place by both clients."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.ai.ml import MLClient, load_online_deployment
from azure.ai.ml.constants import ListViewType
from azure.ai.ml.entities import CodeConfiguration, Environment, ManagedOnlineDeployment, Model
from azure.ai.ml.entities._assets import Code
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import EnvironmentCredential
from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient, models

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, Assets
from tests.support.localazure.users import Users

PLACE = {"resource_group_name": "local", "workspace_name": "local", "endpoint_name": "kit"}


@pytest.fixture(scope="module")
def endpoint(arm: Arm, assets: Assets) -> Iterator[str]:
    """An endpoint with blue at 100%."""
    arm.endpoint("kit")
    arm.deploy("kit", "blue", assets)
    arm.endpoint("kit", traffic={"blue": 100})
    yield "kit"
    arm.run("DELETE", "onlineEndpoints/kit")


def test_keys_logs_and_lists(client: MLClient, endpoint: str) -> None:
    """By the SDK's own methods."""
    before = client.online_endpoints.get_keys(endpoint)
    client.online_endpoints.begin_regenerate_keys(endpoint, key_type="secondary").result()
    after = client.online_endpoints.get_keys(endpoint)
    assert (after.primary_key, after.secondary_key == before.secondary_key) == (before.primary_key, False)
    logs = client.online_deployments.get_logs("blue", endpoint, lines=50)
    assert "loading the model" in logs
    storage = client.online_deployments.get_logs("blue", endpoint, lines=1, container_type="storage-initializer")
    assert "Downloaded the model scale-model:1" in storage
    assert "Downloaded the code" not in storage
    assert endpoint in {found.name for found in client.online_endpoints.list()}
    assert [found.name for found in client.online_deployments.list(endpoint)] == ["blue"]


def test_models_and_environments_are_archived_and_restored(client: MLClient, tmp_path: Path) -> None:
    """A version, or all of a name; what is archived is not listed and not the latest, but can still be read."""
    file = tmp_path / "weights.bin"
    for version in ("1", "2"):
        file.write_text(version)
        client.models.create_or_update(Model(name="shelved", version=version, path=file))
        client.environments.create_or_update(Environment(name="shelved", version=version, image=f"local/{version}"))
    for assets in (client.models, client.environments):
        assets.archive("shelved", version="2")
        assert [found.version for found in assets.list("shelved")] == ["1"]
        assert assets.get("shelved", label="latest").version == "1"
        assert assets.get("shelved", version="2").version == "2"
        archived = assets.list("shelved", list_view_type=ListViewType.ARCHIVED_ONLY)
        assert [found.version for found in archived] == ["2"]
        assets.restore("shelved", version="2")
        assert assets.get("shelved", label="latest").version == "2"
        assets.archive("shelved")
        assert "shelved" not in {found.name for found in assets.list()}
        assets.restore("shelved")
        assert "shelved" in {found.name for found in assets.list()}
    client.models.create_or_update(Model(name="shelved", version="4", path=file, stage="Production"))
    assert [found.version for found in client.models.list("shelved", stage="Production")] == ["4"]
    with pytest.raises(ResourceNotFoundError):
        client.models.archive("shelved", version="3")


def test_a_deployment_takes_the_latest_model(client: MLClient, arm: Arm, endpoint: str, project: Path) -> None:
    """`azureml:name@latest` and `azureml:name:version` in YAML; and the id that ends in `labels/latest`.

    The client makes ids of the first two; in a request they are none.
    """
    for version in ("1", "2"):
        client.models.create_or_update(Model(name="newest", version=version, path=project / f"models/v{version}"))
    path = project / "blue-deployment.yml"
    text = yaml.safe_load(path.read_text())
    text |= {"name": "newest", "endpoint_name": endpoint, "model": "azureml:newest@latest"}
    text |= {"environment": "azureml:scale-env:1"}
    path.write_text(yaml.safe_dump(text))
    deployment = load_online_deployment(path)
    client.online_deployments.begin_create_or_update(deployment).result()
    assert arm.score(endpoint, {"x": 1}, "newest").json()["y"] == 3
    body = arm.get(f"onlineEndpoints/{endpoint}/deployments/newest")
    body["properties"]["model"] = f"{arm.workspace}/models/newest/labels/latest"
    assert arm.run("PUT", f"onlineEndpoints/{endpoint}/deployments/newest", body)["status"] == "Succeeded"
    assert arm.score(endpoint, {"x": 1}, "newest").json()["y"] == 3
    body["properties"]["model"] = "azureml:newest@latest"
    assert arm.call("PUT", f"onlineEndpoints/{endpoint}/deployments/newest", body).status_code == 400
    arm.run("DELETE", f"onlineEndpoints/{endpoint}/deployments/newest")


def test_a_label_means_the_newest_version_at_each_update(
    client: MLClient, management: MachineLearningServicesMgmtClient, arm: Arm, endpoint: str, project: Path
) -> None:
    """Of model, code and environment; and a version that comes back with other files is another one."""
    newest = {kind: f"{arm.workspace}/{kind}/moving/labels/latest" for kind in ("models", "codes", "environments")}

    def register(version: str, factor: int) -> None:
        (project / "models/v1/model.json").write_text(f'{{"factor": {factor}}}')
        client.models.create_or_update(Model(name="moving", version=version, path=project / "models/v1"))

    def register_all(version: str, factor: int) -> None:
        register(version, factor)
        (project / "code" / "version.txt").write_text(version)  # the SDK takes the same code from where it is
        client._code.create_or_update(Code(name="moving", version=version, path=project / "code"))  # noqa: SLF001 - it registers code for its own use only
        environment = Environment(name="moving", version=version, image="local/none", conda_file=project / "conda.yml")
        client.environments.create_or_update(environment)

    def deploy() -> tuple[Any, set[str]]:
        """What it answers, and the versions that are read back."""
        code = models.CodeConfiguration(code_id=newest["codes"], scoring_script="score.py")
        properties = models.ManagedOnlineDeployment(
            model=newest["models"],
            code_configuration=code,
            environment_id=newest["environments"],
            instance_type="Standard_DS3_v2",
        )
        body = models.OnlineDeployment(
            location="local", sku=models.Sku(name="Default", capacity=1), properties=properties
        )
        done = management.online_deployments.begin_create_or_update(
            **PLACE, deployment_name="moving", body=body
        ).result()
        assert done.properties.code_configuration is not None
        ids = (done.properties.model, done.properties.code_configuration.code_id, done.properties.environment_id)
        return arm.score(endpoint, {"x": 1}, "moving").json()["y"], {
            str(found).partition("/moving/")[2] for found in ids
        }

    register_all("1", 5)
    assert deploy() == (5, {"versions/1"})
    other_code(project)
    register_all("2", 6)
    assert deploy() == (6, {"versions/2"})
    assert arm.score(endpoint, {}, "moving").json()["other"]
    management.model_versions.delete("local", "local", "moving", "2")
    register("2", 7)
    assert deploy() == (7, {"versions/2"})
    arm.run("DELETE", f"onlineEndpoints/{endpoint}/deployments/moving")


@pytest.mark.parametrize(
    "environment",
    [
        "azureml://registries/azureml/environments/minimal-py311-inference/labels/latest",
        {
            "name": "minimal",
            "version": 1,
            "image": "mcr.microsoft.com/azureml/minimal-py311-inference:latest",
            "inference_config": {
                "liveness_route": {"port": 5001, "path": "/"},
                "readiness_route": {"port": 5001, "path": "/"},
                "scoring_route": {"port": 5001, "path": "/score"},
            },
        },
    ],
    ids=["curated", "image"],
)
def test_microsoft_s_minimal_inference_image_runs(
    client: MLClient, arm: Arm, endpoint: str, project: Path, environment: Any
) -> None:
    """The curated environment of Azure's own registry, and the image by its name, with that server's own routes."""
    path = project / "blue-deployment.yml"
    text = yaml.safe_load(path.read_text()) | {"name": "minimal", "endpoint_name": endpoint, "environment": environment}
    path.write_text(yaml.safe_dump(text))
    client.online_deployments.begin_create_or_update(load_online_deployment(path)).result()
    assert arm.score(endpoint, {"x": 1}, "minimal").json()["python"] == "3.11"
    arm.run("DELETE", f"onlineEndpoints/{endpoint}/deployments/minimal")


def test_the_registry_says_which_version_is_the_latest(client: MLClient) -> None:  # noqa: ARG001 - it sets the variables
    """By a client of the registry, as for one of Azure's; what is not here is refused, or not there."""
    credential = EnvironmentCredential(disable_instance_discovery=True)
    curated = MLClient(credential, registry_name="azureml").environments

    found = curated.get("minimal-py311-inference", label="latest")

    assert found.id == "azureml://registries/azureml/environments/minimal-py311-inference/versions/1"
    assert found.conda_file == {"dependencies": ["python=3.11"]}
    with pytest.raises(HttpResponseError, match="does not support the environment 'acpt-pytorch'"):
        curated.get("acpt-pytorch", label="latest")
    with pytest.raises(ResourceNotFoundError, match="There is no registry 'other'"):
        MLClient(credential, registry_name="other")


def other_code(project: Path) -> Path:
    """The code of the test project, with an answer of its own."""
    script = project / "code" / "score.py"
    script.write_text(script.read_text().replace('"y":', '"other": True, "y":'))
    return project / "code"


def test_an_update_in_place_by_the_sdk_loses_no_request(
    client: MLClient, arm: Arm, assets: Assets, endpoint: str, project: Path
) -> None:
    """Another model, code, environment, instance type, settings and variables, all at once and one by one."""

    def update(**changes: Any) -> ManagedOnlineDeployment:
        found = client.online_deployments.get("blue", endpoint)
        for name, value in changes.items():
            setattr(found, name, value)
        found.request_settings.max_queue_wait_ms = 1000  # the SDK reads back whole seconds
        done: ManagedOnlineDeployment = client.online_deployments.begin_create_or_update(found).result()
        return done

    with Users(arm, endpoint, {"sleep_s": 0.02}) as users:
        code = CodeConfiguration(code=str(other_code(project)), scoring_script="score.py")
        update(model=assets.models[1], code_configuration=code, environment_variables={"GREETING": "new"})
        answer = arm.score(endpoint, {"x": 1}).json()
        assert (answer["y"], answer["greeting"], answer["other"]) == (3, "new", True)
        conda = {"dependencies": [{"pip": ["azureml-inference-server-http==1.5.1", "uuid6"]}]}
        environment = Environment(name="kit-env", image="local/none", conda_file=conda)
        updated = update(environment=environment, instance_type="Standard_F2s_v2")
        assert (str(updated.environment).split("/")[-3], updated.instance_type) == ("kit-env", "Standard_F2s_v2")
        users.some_more()
    assert users.errors == []


def test_an_update_in_place_by_the_management_client_loses_no_request(
    azure: LocalAzure, management: MachineLearningServicesMgmtClient, arm: Arm, assets: Assets, endpoint: str
) -> None:
    """The same, with its models; and request settings take effect at once."""
    with Users(arm, endpoint, {"sleep_s": 0.02}) as users:
        found = management.online_deployments.get(**PLACE, deployment_name="blue")
        found.properties.model = assets.models[0]
        found.properties.code_configuration = models.CodeConfiguration(code_id=assets.code, scoring_script="score.py")
        found.properties.environment_id = assets.environment
        found.properties.instance_type = "Standard_DS2_v2"
        found.properties.environment_variables = {"GREETING": "newer"}
        found.properties.request_settings = models.OnlineRequestSettings(
            request_timeout=timedelta(seconds=30), max_concurrent_requests_per_instance=9
        )
        done = management.online_deployments.begin_create_or_update(**PLACE, deployment_name="blue", body=found)
        assert done.result().properties.instance_type == "Standard_DS2_v2"
        answer = arm.score(endpoint, {"x": 1}).json()
        assert (answer["y"], answer["greeting"], "other" in answer) == (2, "newer", False)
        users.some_more()
    assert users.errors == [], azure.log()
    found.properties.request_settings.request_timeout = timedelta(seconds=0.4)
    management.online_deployments.begin_create_or_update(**PLACE, deployment_name="blue", body=found).result()
    assert arm.score(endpoint, {"sleep_s": 0.6}).status_code == 408
