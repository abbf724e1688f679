"""What a candidate is made of, on a real workspace: the files that reach it, and the versions that labels are on."""

import shutil
import uuid
from pathlib import Path

import pytest
import yaml
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Environment, Model
from azure.ai.ml.entities._assets import Code
from azure.storage.blob import ContainerClient

from saferollout import uploads
from saferollout.azure.access import credential
from saferollout.azure.client import Client
from saferollout.azure.workspace import Workspace
from saferollout.config import project
from saferollout.config.project import Project, resolve_workspace
from saferollout.domain.errors import AzureFailed, GateFailed
from saferollout.rollout import begin
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import Record
from saferollout.rollout.rollout import Rollout
from tests.support.localazure.arm import Arm
from tests.support.stack import DIABETES, Endpoint, Stack

ANN = Owner(name="ann@laptop", flow_run="run-1")


@pytest.fixture
def client(stack: Stack) -> MLClient:  # noqa: ARG001  # it sets the variables
    """The unchanged SDK."""
    workspace = resolve_workspace(None)
    return MLClient(credential(), workspace.subscription_id, workspace.resource_group, workspace.name)


def register(client: MLClient, name: str, version: str) -> None:
    """Register a model and an environment of this version."""
    model = DIABETES / "models" / ("v1" if version == "1" else "v2") / "model.joblib"
    client.models.create_or_update(Model(name=name, version=version, path=model))
    conda = yaml.safe_load((DIABETES / "conda.yml").read_text())
    client.environments.create_or_update(
        Environment(name=name, version=version, image="local/none", conda_file=conda, description=version)
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Each file in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# the SDK downloads in a manner that its own storage client would rather not have
@pytest.mark.filterwarnings("ignore:The use of a .BlobProperties. instance:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:content_as_bytes is deprecated:DeprecationWarning")
@pytest.mark.parametrize("ignore", [None, ".gitignore", ".amlignore"])
def test_the_files_that_count_are_those_that_reach_azure(
    client: MLClient, stack: Stack, tmp_path: Path, ignore: str | None
) -> None:
    """Of code and of a model: links are followed, what is ignored stays here, everything else arrives as it is."""
    root, store = tmp_path / "source", tmp_path / "store"
    for name in ("score.py", "run.log", "sub/run.log", "sub/data.csv", "checkpoints/1.ckpt", ".hidden", ".git/HEAD"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{name} {uuid.uuid4()}", encoding="utf-8")
    (store / "deep").mkdir(parents=True)
    for name in ("weights.bin", "deep/store.log"):
        (store / name).write_text(name, encoding="utf-8")
    (root / "weights").symlink_to(store)
    (root / "alias.bin").symlink_to("weights/weights.bin")
    if ignore:
        (root / ignore).write_text("*.log\n/checkpoints/\n.git\n", encoding="utf-8")
    name = f"m{uuid.uuid4().hex[:8]}"

    counted = {path: file.read_bytes() for path, file in uploads.files(root).items()}

    client.models.create_or_update(Model(name=name, version="1", path=root))
    client.models.download(name, "1", tmp_path / "model")
    assert contents(tmp_path / "model" / name / "source") == counted
    code = client._code.create_or_update(Code(path=root))  # noqa: SLF001  # the SDK has it for its own use only
    with Arm(stack.env) as arm:
        pending = arm.call("POST", f"codes/{code.name}/versions/{code.version}/startPendingUpload", {}).json()
    with ContainerClient.from_container_url(pending["blobReferenceForConsumption"]["credential"]["sasUri"]) as blobs:
        arrived = {blob.name: blobs.download_blob(blob.name).readall() for blob in blobs.list_blobs()}
    assert arrived == {f"source/{path}": content for path, content in counted.items()}
    assert ("run.log" in counted) is (ignore is None)


def test_a_label_is_resolved_once_and_a_moved_one_is_another_candidate(client: MLClient, endpoint: Endpoint) -> None:
    """What was resolved is recorded and deployed, though the labels move; then they make a new rollout."""
    register(client, endpoint.name, "1")
    config, azure = endpoint.config(), endpoint.workspace()
    path = endpoint.directory / "green-deployment.yml"
    labels = dict.fromkeys(("model", "environment"), f"azureml:{endpoint.name}@latest")
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | labels))

    def loaded() -> Project:
        found = project.load(config)
        return found.with_assets(azure.resolve(found.assets))

    def begun(found: Project) -> Rollout | None:
        return begin.begin(azure, found, ANN, gone=None, begun_before=False)

    before = loaded()
    rollout = begun(before)
    register(client, endpoint.name, "2")

    assert rollout is not None
    versions = dict.fromkeys(("model", "environment"), f"azureml:{endpoint.name}:1")
    assert rollout.project.assets == versions
    record = Record.from_tags(endpoint.state().tags)
    assert record is not None
    assert {"model": record.model, "environment": record.environment} == versions
    azure.create_deployment(
        path, endpoint.name, rollout.candidate, assets=rollout.project.assets, tags=rollout.candidate_tags
    )
    state = endpoint.state()
    green = state.deployments["green"]
    assert (green.model, green.environment) == (f"{endpoint.name}:1", f"{endpoint.name}:1")
    azure.update_endpoint(endpoint.name, traffic={"green": 100}, tags=record.removed_from)
    azure.delete_deployment(endpoint.name, "blue")
    assert begun(before) is None
    moved = begun(loaded())
    assert moved is not None
    assert moved.project.assets == dict.fromkeys(("model", "environment"), f"azureml:{endpoint.name}:2")


def test_files_that_change_while_they_are_uploaded_are_noticed(endpoint: Endpoint) -> None:
    """What was uploaded is known only when the files are still the same afterwards."""
    config, path = endpoint.config(), endpoint.directory / "green-deployment.yml"
    code = endpoint.directory / "code"
    shutil.copytree(DIABETES / "onlinescoring", code)
    content = yaml.safe_load(path.read_text())
    content["code_configuration"]["code"] = str(code)
    path.write_text(yaml.safe_dump(content))
    found = project.load(config)

    def check() -> None:
        found.check_unchanged()
        (code / "more.py").touch()  # as if somebody did, a moment later

    with pytest.raises(GateFailed, match="changed since the run began"):
        endpoint.workspace().create_deployment(path, endpoint.name, "green", assets={}, tags={}, check=check)
    endpoint.workspace().delete_deployment(endpoint.name, "green")  # once it is up


def test_registries_are_asked_for_their_own_labels(stack: Stack) -> None:  # noqa: ARG001  # it sets the variables
    """The version is in the name that Azure knows; what is not there is reported with where it was looked for."""
    azure = Workspace(Client(resolve_workspace(None)))
    curated = "azureml://registries/azureml/environments/minimal-py311-inference"

    assert azure.resolve({"environment": f"{curated}/labels/latest"}) == {"environment": f"{curated}/versions/1"}
    with pytest.raises(AzureFailed, match=r"^could not look up the latest version of model m in registry other: "):
        azure.resolve({"model": "azureml://registries/other/models/m/labels/latest"})
    with pytest.raises(AzureFailed, match=r"^could not look up the latest version of environment e: Asset e does not"):
        azure.resolve({"environment": "azureml:e@latest"})
    assert azure.resolve({"model": f"{curated}/versions/7"}) == {"model": f"{curated}/versions/7"}
