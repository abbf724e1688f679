"""What a deployment is made of, read back from Azure: the files of its code, the packages of its environment."""

import dataclasses
from collections.abc import Iterator

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Environment
from azure.ai.ml.entities._assets import Code

from localazure.testing import LocalAzure
from saferollout.azure import code_asset
from saferollout.azure.client import Client
from saferollout.azure.workspace import Workspace
from saferollout.config.packages import read_packages
from saferollout.config.project import resolve_workspace
from saferollout.domain.endpoint import DeploymentState
from saferollout.domain.errors import AzureFailed
from saferollout.domain.file_change import FileChange, Kind
from saferollout.rollout.comparison import compare
from tests.support.localazure.arm import Assets
from tests.support.localazure.sdk import PROJECT, sdk_client


@pytest.fixture(scope="module")
def other(azure: LocalAzure, assets: Assets, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Assets]:
    """Code and an environment that are not quite those of the test project."""
    folder = tmp_path_factory.mktemp("other")
    (folder / "lib").mkdir()
    (folder / "lib/täx ü.py").write_text("A = 1\nB = 2\n")
    (folder / "score.py").write_text((PROJECT / "code/score.py").read_text() + "\n# another\n")
    conda = folder / "conda.yml"
    conda.write_text((PROJECT / "conda.yml").read_text() + "      - numpy==2.1.0\n")
    with pytest.MonkeyPatch.context() as patch:
        sdk = sdk_client(azure.environ, patch)
        made = Environment(name="other-env", version="1", image="local/none", conda_file=conda)
        environment = sdk.environments.create_or_update(made).id
        conda.unlink()
        code = sdk._code.create_or_update(Code(name="other-code", version="1", path=folder)).id  # noqa: SLF001  # as the SDK itself does
        yield dataclasses.replace(assets, code=code, environment=environment)


@pytest.fixture
def workspace(client: MLClient) -> Workspace:  # noqa: ARG001  # it sets the environment
    """Local Azure's, by a client of its own."""
    return Workspace(Client(resolve_workspace(None)))


def state(assets: Assets) -> DeploymentState:
    """A deployment of these assets."""
    made_of = {"code_id": assets.code, "environment_id": assets.environment}
    return DeploymentState(name="any", instance_count=1, provisioning_state="Succeeded", **made_of)


def test_what_was_uploaded_is_compared(workspace: Workspace, assets: Assets, other: Assets) -> None:
    """The code as the SDK uploaded it, file by file, and the conda file that Azure has turned into JSON."""
    assert workspace.compare_code(assets.code, other.code) == [
        FileChange(name="lib/täx ü.py", kind=Kind.ADDED, added=2, removed=0),
        FileChange(name="score.py", kind=Kind.CHANGED, added=2, removed=0),
    ]
    properties = workspace.environment(f"azureml:{other.environment}")["properties"]
    assert read_packages(properties["condaFile"]).versions["numpy"] == "2.1.0"
    assert compare(workspace, state(assets), state(other)).splitlines() == [
        "**Code**: 2 differences from live",
        "",
        "- lib/täx ü.py added, 2 lines",
        "- score.py changed, +2 −0 lines",
        "",
        "**Environment**: 1 difference from live",
        "",
        "- numpy added: 2.1.0",
    ]


def test_azure_knows_the_digest_of_each_file(workspace: Workspace, assets: Assets, azure: LocalAzure) -> None:
    """So that files which did not change are not read at all."""
    with azure.chaos.answer(403, path="/storage.blob**/score.py"):
        assert workspace.compare_code(assets.code, assets.code) == []


@pytest.mark.parametrize("path", ["/storage.blob**", "**/codes/**", "**/datastores/**"])
def test_what_may_not_be_read_is_said(
    workspace: Workspace, assets: Assets, other: Assets, azure: LocalAzure, path: str
) -> None:
    """A worker without the permission asks its question all the same, and no signature is in it."""
    with azure.chaos.answer(403, path=path, times=None):
        text = compare(workspace, state(assets), state(other))
    assert "**Code**: another one; what changed in it is not known: could not " in text
    assert "numpy added: 2.1.0" in text
    assert "sig=" not in text


def test_what_lies_elsewhere_is_not_read(
    workspace: Workspace, assets: Assets, other: Assets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither another workspace's code nor a registry's environment; nor a folder with too many files."""
    elsewhere = assets.code.replace("/workspaces/", "/workspaces/other-")
    registered = "azureml://registries/azureml/environments/sklearn-1.5/versions/3"
    with pytest.raises(AzureFailed, match="the code is not this workspace's"):
        workspace.compare_code(elsewhere, other.code)
    with pytest.raises(AzureFailed, match="the environment is not this workspace's"):
        workspace.environment(registered)
    monkeypatch.setattr(code_asset, "MAX_FILES", 1)
    with pytest.raises(AzureFailed, match="the code has more than 1 files"):
        workspace.compare_code(assets.code, other.code)


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("https://shop.blob.core.windows.net:443/ab12-cd34/code%20a/", ("ab12-cd34", "code a")),
        ("https://shop.blob.core.windows.net/ab12/a/b", ("ab12", "a/b")),
        ("https://shop.blob.core.windows.net/ab12", None),
        ("https://evil.example/ab12/code", None),
        ("https://shop.blob.core.windows.net.evil.example/ab12/code", None),
        ("https://shop.blob.core.windows.net@evil.example/ab12/code", None),
        ("azureml://registries/x/codes/y", None),
    ],
)
def test_a_password_is_sent_to_the_workspaces_own_account_only(uri: str, place: tuple[str, str] | None) -> None:
    """Where Azure says that the code lies elsewhere, that place is not asked."""
    assert code_asset.find_place(uri, "https://shop.blob.core.windows.net") == place
