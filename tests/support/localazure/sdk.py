"""The unchanged SDK, and the test project that it registers."""

import os
from pathlib import Path

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Environment, Model
from azure.ai.ml.entities._assets import Code
from azure.identity import EnvironmentCredential

from localazure.core.certificates import trusting_only
from tests.support.localazure.arm import Assets

SUPPORT = Path(__file__).parent
"""Where the files lie that tests deploy."""
PROJECT = SUPPORT / "project"


def export(environ: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    """Set the variables as a shell would."""
    for name, value in environ.items():
        patch.setenv(name, value)
    patch.delenv("AZUREML_CURRENT_CLOUD", raising=False)  # the SDK writes it, and would keep the last cloud


def sdk_client(environ: dict[str, str], patch: pytest.MonkeyPatch) -> MLClient:
    """The unchanged SDK for the local Azure with these variables, which `patch` sets.

    It trusts this local Azure only: with all roots of this machine, registering the project takes five times as long.
    """
    export(trusting_only(environ), patch)
    return MLClient(
        EnvironmentCredential(disable_instance_discovery=True),
        os.environ["AZURE_SUBSCRIPTION_ID"],
        os.environ["AZURE_RESOURCE_GROUP"],
        os.environ["AZUREML_WORKSPACE_NAME"],
    )


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
