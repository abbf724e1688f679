"""One local Azure for all tests of a worker, and clients for it."""

import contextlib
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Environment, Model
from azure.ai.ml.entities._assets import Code
from azure.identity import EnvironmentCredential

from localazure.testing import LocalAzure
from tests.integration.localazure.arm import Arm, Assets

with warnings.catch_warnings():  # the package has escapes in its docstrings that Python warns of when it compiles them
    warnings.simplefilter("ignore")
    from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient

PROJECT = Path(__file__).parent / "project"


@pytest.fixture(scope="session")
def azure() -> Iterator[LocalAzure]:
    """A running local Azure, whose clients look again at once, and which finds no container engine."""
    with contextlib.ExitStack() as started:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DOCKER_HOST", "unix:///nowhere")
            running = started.enter_context(LocalAzure(timing="instant"))
        yield running


@pytest.fixture(autouse=True)
def environment(azure: LocalAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here sees local Azure as a shell does that has exported its variables."""
    export(azure.environ, monkeypatch)


def export(environ: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    """Set the variables as a shell would."""
    for name, value in environ.items():
        patch.setenv(name, value)
    patch.delenv("AZUREML_CURRENT_CLOUD", raising=False)  # the SDK writes it, and would keep the last cloud


def sdk_client(environ: dict[str, str], patch: pytest.MonkeyPatch) -> MLClient:
    """The unchanged SDK for the local Azure with these variables, which `patch` sets."""
    export(environ, patch)
    return MLClient(
        EnvironmentCredential(disable_instance_discovery=True),
        os.environ["AZURE_SUBSCRIPTION_ID"],
        os.environ["AZURE_RESOURCE_GROUP"],
        os.environ["AZUREML_WORKSPACE_NAME"],
    )


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


def register(environ: dict[str, str]) -> Assets:
    """Register the test project's code, environment and models by the SDK."""
    with pytest.MonkeyPatch.context() as patch:
        sdk = sdk_client(environ, patch)
        conda = PROJECT / "conda.yml"
        return Assets(
            code=sdk._code.create_or_update(Code(name="scale-code", version="1", path=PROJECT / "code")).id,  # noqa: SLF001 - the SDK registers code for its own use only
            environment=sdk.environments.create_or_update(
                Environment(name="scale-env", version="1", image="local/none", conda_file=conda)
            ).id,
            models=[
                sdk.models.create_or_update(Model(name="scale-model", version=str(n), path=PROJECT / f"models/v{n}")).id
                for n in (1, 2)
            ],
        )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The test project, in a copy that the test may change."""
    return Path(shutil.copytree(PROJECT, tmp_path / "project"))
