"""One local Azure for all tests of a worker, and clients for it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Environment, Model
from azure.ai.ml.entities._assets import Code
from azure.identity import EnvironmentCredential

from localazure.testing import LocalAzure
from tests.integration.localazure.arm import Arm, Assets

PROJECT = Path(__file__).parent / "project"


@pytest.fixture(scope="session")
def azure() -> Iterator[LocalAzure]:
    """A running local Azure."""
    with LocalAzure() as running:
        yield running


@pytest.fixture(autouse=True)
def environment(azure: LocalAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here sees local Azure as a shell does that has exported its variables."""
    for name, value in azure.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AZUREML_CURRENT_CLOUD", raising=False)  # the SDK writes it, and would keep the last cloud


@pytest.fixture
def client(environment: None) -> MLClient:  # noqa: ARG001 - it needs the variables
    """The unchanged SDK."""
    return MLClient(
        EnvironmentCredential(disable_instance_discovery=True),
        os.environ["AZURE_SUBSCRIPTION_ID"],
        os.environ["AZURE_RESOURCE_GROUP"],
        os.environ["AZUREML_WORKSPACE_NAME"],
    )


@pytest.fixture(scope="session")
def arm(azure: LocalAzure) -> Iterator[Arm]:
    """Plain HTTP to the management plane, for what the SDK would check itself."""
    with Arm(azure.environ) as plain:
        yield plain


@pytest.fixture(scope="session")
def assets(azure: LocalAzure) -> Assets:
    """The test project's code, environment and models, registered by the SDK."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in azure.environ.items():
            patch.setenv(name, value)
        patch.delenv("AZUREML_CURRENT_CLOUD", raising=False)
        sdk = MLClient(
            EnvironmentCredential(disable_instance_discovery=True),
            os.environ["AZURE_SUBSCRIPTION_ID"],
            os.environ["AZURE_RESOURCE_GROUP"],
            os.environ["AZUREML_WORKSPACE_NAME"],
        )
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
