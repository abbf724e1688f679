"""Deployments of containers, and what tests look at in them."""

from pathlib import Path
from typing import Any

from azure.ai.ml import MLClient
from azure.ai.ml.entities import (
    BuildContext,
    Environment,
    ManagedOnlineDeployment,
    Model,
)

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, Assets, wait_for
from tests.support.localazure.engine import base_image, docker
from tests.support.localazure.sdk import SUPPORT

ROUTES = {
    "liveness_route": {"path": "/live", "port": 8080},
    "readiness_route": {"path": "/ready", "port": 8080},
    "scoring_route": {"path": "/v1/models/scale:predict", "port": 8080},
}


TRITON_ROUTES = {
    "liveness_route": {"path": "/v2/health/live", "port": 8000},
    "readiness_route": {"path": "/v2/health/ready", "port": 8000},
    "scoring_route": {"path": "/", "port": 8000},
}


def server_image(directory: Path) -> str:
    """Build it."""
    base = base_image(directory / "base")
    (directory / "serve.py").write_bytes((SUPPORT / "image" / "serve.py").read_bytes())
    (directory / "Dockerfile").write_text(
        f'FROM {base}\nCOPY serve.py /serve.py\nCMD ["python3", "/serve.py", "8080"]\n'
    )
    docker("build", "--quiet", "--tag", "localazure-test/server", directory)
    return "localazure-test/server"


def deployment(name: str, image: str, **settings: Any) -> ManagedOnlineDeployment:
    """Of the custom container with the first model, unless `settings` say otherwise."""
    settings = {
        "model": Model(name="boxed", version="1", path=SUPPORT / "project/models/v1"),
        "environment": Environment(image=image, inference_config=ROUTES),
        "environment_variables": {"API_KEY": "se cr\net", "PATH": "/usr/bin", "DOCKER_HOST": "for the container"},
        **settings,
    }
    return ManagedOnlineDeployment(
        name=name,
        endpoint_name="boxes",
        instance_type="Standard_DS3_v2",
        instance_count=1,
        **settings,
    )


def containers() -> list[str]:
    """Those that run and are local Azure's."""
    return docker("ps", "--quiet", "--filter", "label=localazure.owner").splitlines()


def replace_instance(azure: LocalAzure, arm: Arm, endpoint: str) -> None:
    """Kill green's only container and wait until another one answers."""
    before = hostname(arm, "green")
    azure.chaos.kill_instance(endpoint, "green")

    def other() -> bool:
        answer = arm.score(endpoint, {"x": 1}, "green")
        return answer.status_code == 200 and answer.json()["environment"]["HOSTNAME"] != before

    wait_for(other)


def build(client: MLClient, context: Path, version: str) -> str:
    """Register the environment; returns its id."""
    environment = Environment(
        name="rebuilt", version=version, build=BuildContext(path=context), inference_config=ROUTES
    )
    return str(client.environments.create_or_update(environment).id)


def failure(arm: Arm, name: str, **changes: Any) -> dict[str, Any]:
    """Why the creation failed."""
    model = f"{arm.workspace}/models/boxed/versions/1"
    body = arm.deployment(Assets(code="", environment="", models=[model]), codeConfiguration=None)
    body["properties"] |= changes
    ended = arm.run("PUT", f"onlineEndpoints/boxes/deployments/{name}", body)
    assert ended["status"] == "Failed", ended
    error: dict[str, Any] = ended["error"]
    return error


def state(arm: Arm, name: str) -> str:
    """Of the deployment."""
    return str(arm.get(f"onlineEndpoints/boxes/deployments/{name}")["properties"]["provisioningState"])


def hostname(arm: Arm, name: str) -> str:
    """Of the container that answers."""
    return str(arm.score("boxes", {"x": 1}, name).json()["environment"]["HOSTNAME"])
