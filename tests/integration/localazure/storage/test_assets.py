"""Code, models and environments: uploads, versions, labels."""

import os
import urllib.parse
from pathlib import Path

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Environment, Model
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContainerClient

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, Assets


def test_models_get_the_next_version_and_a_latest_label(client: MLClient, tmp_path: Path) -> None:
    """As a retraining pipeline registers them: no version given."""
    file = tmp_path / "weights.bin"
    for content in (b"1", b"2", b"3"):
        file.write_bytes(content)
        client.models.create_or_update(Model(name="counted", path=file))
    assert {model.version for model in client.models.list(name="counted")} == {"1", "2", "3"}
    assert client.models.get("counted", label="latest").version == "3"
    assert {"counted"} <= {model.name for model in client.models.list()}


def test_a_model_version_cannot_get_other_files(client: MLClient, tmp_path: Path) -> None:
    """What was deployed as a version stays what it was."""
    file = tmp_path / "weights.bin"
    file.write_bytes(b"1")
    client.models.create_or_update(Model(name="fixed", version="1", path=file))
    file.write_bytes(b"2")
    with pytest.raises(Exception, match="cannot be updated"):
        client.models.create_or_update(Model(name="fixed", version="1", path=file))


@pytest.mark.filterwarnings(  # azure-ai-ml's own, about how it calls azure-storage-blob
    "ignore:The use of a 'BlobProperties' instance:DeprecationWarning",
    "ignore:content_as_bytes is deprecated:DeprecationWarning",
)
def test_a_model_can_be_downloaded_again(client: MLClient, tmp_path: Path) -> None:
    """Byte by byte, in its folders, big files too."""
    folder = tmp_path / "up" / "model"
    (folder / "sub").mkdir(parents=True)
    content = {"small.txt": b"x", "sub/big.bin": os.urandom(80 * 1024 * 1024), "sub/empty": b""}
    for name, data in content.items():
        (folder / name).write_bytes(data)
    client.models.create_or_update(Model(name="round-trip", version="1", path=folder))
    client.models.download("round-trip", "1", download_path=tmp_path / "down")
    (found,) = (tmp_path / "down").rglob("model")
    assert {str(path.relative_to(found)): path.read_bytes() for path in found.rglob("*") if path.is_file()} == content


def test_what_is_not_there_is_404(client: MLClient) -> None:
    """In the SDK's own exception."""
    with pytest.raises(ResourceNotFoundError):
        client.models.get("never", version="1")
    with pytest.raises(ResourceNotFoundError):
        client.environments.get("never", version="1")


def test_environments_are_read_back_as_written(client: MLClient, project: Path) -> None:
    """The conda file included."""
    conda = project / "conda.yml"
    client.environments.create_or_update(Environment(name="kept", version="7", image="local/none", conda_file=conda))
    found = client.environments.get("kept", label="latest")
    assert found.version == "7"
    assert found.image == "local/none"
    assert found.conda_file["dependencies"][-1] == {"pip": ["azureml-inference-server-http==1.5.1"]}


def test_the_same_code_is_uploaded_once(arm: Arm, assets: Assets) -> None:
    """A client that asks by hash finds it, under whatever name it is going to use."""
    first = arm.get(assets.code.removeprefix(arm.workspace + "/"))
    digest = first["properties"]["properties"]["hash_sha256"]
    found = arm.http.get(f"{arm.workspace}/codes/any-name/versions", params={"hash": digest}).json()["value"]
    assert [version["id"] for version in found] == [first["id"]]


def test_no_upload_leaves_the_state_directory(azure: LocalAzure, arm: Arm, assets: Assets, tmp_path: Path) -> None:
    """A blob may have any name; a deployment of one that climbs out is refused, and nothing is written."""
    pending = arm.call("POST", "codes/evil/versions/1/startPendingUpload", {}).json()
    uri = pending["blobReferenceForConsumption"]["credential"]["sasUri"]
    outside = tmp_path / "escaped.txt"
    with ContainerClient.from_container_url(uri) as container:
        container.upload_blob("code/score.py", b"def init(): ...")
    address, _, signature = uri.partition("?")
    climbing = f"{address}/code/{'%2E%2E/' * 12}{str(outside).lstrip('/')}?{signature}"
    assert arm.scoring.put(climbing, content=b"gotcha", headers={"x-ms-blob-type": "BlockBlob"}).status_code == 201
    before = set(azure.state_dir.rglob("escaped*"))
    blob_uri = pending["blobReferenceForConsumption"]["blobUri"]
    created = arm.call("PUT", "codes/evil/versions/1", {"properties": {"codeUri": f"{blob_uri}/code"}})
    assert created.status_code == 201
    arm.endpoint("evil")
    body = arm.deployment(assets, codeConfiguration={"codeId": created.json()["id"], "scoringScript": "score.py"})
    ended = arm.run("PUT", "onlineEndpoints/evil/deployments/blue", body)
    assert (ended["status"], ended["error"]["code"]) == ("Failed", "BadArgument")
    assert not outside.exists()
    assert set(azure.state_dir.rglob("escaped*")) == before
    arm.run("DELETE", "onlineEndpoints/evil")


def test_uploads_need_a_valid_signature(arm: Arm) -> None:
    """A signature is for one container; none, or another's, is refused."""

    def uri(name: str) -> str:
        answer = arm.call("POST", f"codes/{name}/versions/1/startPendingUpload", {}).json()
        return str(answer["blobReferenceForConsumption"]["credential"]["sasUri"])

    own, other = urllib.parse.urlsplit(uri("one")), urllib.parse.urlsplit(uri("two"))
    put = {"x-ms-blob-type": "BlockBlob"}
    address = f"{arm.url}{own.path}/file.txt"
    assert arm.scoring.put(address, content=b"x", headers=put).status_code == 403
    assert arm.scoring.put(f"{address}?{other.query}", content=b"x", headers=put).status_code == 403
    assert arm.scoring.put(f"{address}?{own.query}", content=b"x", headers=put).status_code == 201
