"""One local Azure for all tests of a worker, and clients for it."""

import contextlib
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.ai.ml import MLClient
from azure.identity import EnvironmentCredential

from localazure.core.certificates import trusting_only
from localazure.testing import LocalAzure
from saferollout.azure.client import DRAIN
from tests.support.localazure.arm import Arm, Assets
from tests.support.localazure.sdk import PROJECT, export, register, sdk_client

with warnings.catch_warnings():  # the package has escapes in its docstrings that Python warns of when it compiles them
    warnings.simplefilter("ignore")
    from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What the tests of a file share is started once: one process runs them all, where the file says nothing else."""
    for item in items:
        if Path(__file__).parent in item.path.parents and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(scope="session")
def azure() -> Iterator[LocalAzure]:
    """A running local Azure, whose clients look again at once; it is strict, and finds no container engine."""
    with contextlib.ExitStack() as started:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DOCKER_HOST", "unix:///nowhere")
            running = started.enter_context(LocalAzure(None, "--strict", timing="instant"))
        running.environ = trusting_only(running.environ)
        yield running


@pytest.fixture(autouse=True)
def environment(azure: LocalAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here sees local Azure as a shell does that has exported its variables."""
    export(azure.environ, monkeypatch)
    monkeypatch.setenv(DRAIN, "0")


@pytest.fixture
def credential(environment: None) -> Iterator[EnvironmentCredential]:  # noqa: ARG001 - it needs the variables
    """As in any program."""
    with EnvironmentCredential(disable_instance_discovery=True) as found:
        yield found


@pytest.fixture
def client(azure: LocalAzure, monkeypatch: pytest.MonkeyPatch) -> MLClient:
    """The unchanged SDK."""
    return sdk_client(azure.environ, monkeypatch)


@pytest.fixture
def management(azure: LocalAzure) -> Iterator[MachineLearningServicesMgmtClient]:
    """The other official client, generated apart from the SDK's own."""
    here = azure.environ["AZURE_AUTHORITY_HOST"]
    with MachineLearningServicesMgmtClient(
        EnvironmentCredential(disable_instance_discovery=True),
        azure.environ["AZURE_SUBSCRIPTION_ID"],
        base_url=here,
        credential_scopes=[f"{here}/.default"],
    ) as client:
        yield client


@pytest.fixture(scope="session")
def arm(azure: LocalAzure) -> Iterator[Arm]:
    """Plain HTTP to the management plane, for what the SDK would check itself."""
    with Arm(azure.environ) as plain:
        yield plain


@pytest.fixture(scope="session")
def assets(azure: LocalAzure) -> Assets:
    """Those of the test project."""
    return register(azure.environ)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The test project, in a copy that the test may change."""
    return Path(shutil.copytree(PROJECT, tmp_path / "project"))
