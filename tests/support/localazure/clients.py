"""The two official clients behind one interface, so that what one does the other can do."""

from collections.abc import Callable
from typing import Any, Protocol

from azure.ai.ml import MLClient
from azure.ai.ml.entities import (
    CodeConfiguration,
    KubernetesOnlineDeployment,
    KubernetesOnlineEndpoint,
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
)
from azure.ai.ml.exceptions import ValidationException
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient, models

from tests.support.localazure.arm import Assets
from tests.support.localazure.reference import KUBERNETES, Outcome

COMPUTE = "my-cluster"
PLACE: dict[str, Any] = {"resource_group_name": "local", "workspace_name": "local"}


class Client(Protocol):
    """What can be done; each call follows its operation to the end."""

    def set_endpoint(self, name: str, change: dict[str, Any]) -> None:
        """Create the endpoint, or change its `traffic`, `mirror` or `tags`."""
        ...

    def set_deployment(self, endpoint: str, name: str, model: int, count: int) -> None:
        """Create a deployment of this model with so many instances, or change it."""
        ...

    def scale(self, endpoint: str, name: str, count: int) -> None:
        """Give a deployment so many instances."""
        ...

    def delete_deployment(self, endpoint: str, name: str) -> None:
        """Delete a deployment."""
        ...

    def delete_endpoint(self, name: str) -> None:
        """Delete an endpoint with all that it has."""
        ...

    def observe(self) -> dict[str, Any]:
        """Return all that there is: each endpoint by its name, with its deployments."""
        ...


def outcome(call: Callable[[], None]) -> tuple[Outcome, Exception | None]:
    """How it ended, and the error that said so."""
    try:
        call()
    except ValidationException as error:
        return 400, error  # the client knows the rule as well
    except HttpResponseError as error:
        # The fault's own code. Where Azure-AsyncOperation is followed, the answer that tells of it has a good status.
        failed = error.error is not None and error.error.code == "InternalServerError"
        return "failed" if failed or error.status_code is None else error.status_code, error
    return "ok", None


class Ml:
    """azure-ai-ml."""

    def __init__(self, client: MLClient, assets: Assets) -> None:
        self._client = client
        self._assets = assets

    def set_endpoint(self, name: str, change: dict[str, Any]) -> None:
        """Create the endpoint, or change its `traffic`, `mirror` or `tags`."""
        try:
            endpoint = self._client.online_endpoints.get(name)
        except ResourceNotFoundError:
            endpoint = ManagedOnlineEndpoint(name=name, auth_mode="key")
            if name == KUBERNETES:
                endpoint = KubernetesOnlineEndpoint(name=name, auth_mode="key", compute=f"azureml:{COMPUTE}")
        for key, value in change.items():
            setattr(endpoint, {"mirror": "mirror_traffic"}.get(key, key), value)
        self._client.online_endpoints.begin_create_or_update(endpoint).result()

    def set_deployment(self, endpoint: str, name: str, model: int, count: int) -> None:
        """Create a deployment of this model with so many instances, or change it."""
        kind = KubernetesOnlineDeployment if endpoint == KUBERNETES else ManagedOnlineDeployment
        deployment = kind(
            name=name,
            endpoint_name=endpoint,
            model=self._assets.models[model - 1],
            environment=self._assets.environment,
            code_configuration=CodeConfiguration(code=self._assets.code, scoring_script="score.py"),
            instance_type="Standard_DS3_v2",
            instance_count=count,
        )
        self._client.online_deployments.begin_create_or_update(deployment).result()

    def scale(self, endpoint: str, name: str, count: int) -> None:
        """Give a deployment so many instances."""
        deployment = self._client.online_deployments.get(name, endpoint)
        deployment.instance_count = count
        self._client.online_deployments.begin_create_or_update(deployment).result()

    def delete_deployment(self, endpoint: str, name: str) -> None:
        """Delete a deployment."""
        self._client.online_deployments.begin_delete(name, endpoint).result()

    def delete_endpoint(self, name: str) -> None:
        """Delete an endpoint with all that it has."""
        self._client.online_endpoints.begin_delete(name).result()

    def observe(self) -> dict[str, Any]:
        """Return all that there is: each endpoint by its name, with its deployments."""
        return {
            endpoint.name: {
                "traffic": _positive(endpoint.traffic),
                "mirror": _positive(endpoint.mirror_traffic),
                "tags": endpoint.tags,
                "state": endpoint.provisioning_state,
                "deployments": {
                    found.name: (_version(found.model), found.instance_count, found.provisioning_state)
                    for found in self._client.online_deployments.list(endpoint.name)
                },
            }
            for endpoint in self._client.online_endpoints.list()
        }


class Management:
    """azure-mgmt-machinelearningservices."""

    def __init__(self, client: MachineLearningServicesMgmtClient, assets: Assets) -> None:
        self._client = client
        self._assets = assets

    def set_endpoint(self, name: str, change: dict[str, Any]) -> None:
        """Create the endpoint, or change its `traffic`, `mirror` or `tags`."""
        here = {**PLACE, "endpoint_name": name}
        try:
            endpoint = self._client.online_endpoints.get(**here)
        except ResourceNotFoundError:
            workspace = self._assets.code.partition("/codes/")[0]
            compute = f"{workspace}/computes/{COMPUTE}" if name == KUBERNETES else None
            properties = models.OnlineEndpointProperties(auth_mode="Key", compute=compute)
            endpoint = models.OnlineEndpoint(location="local", tags={}, properties=properties)
        if "tags" in change:
            endpoint.tags = change["tags"]
        for key, attribute in (("traffic", "traffic"), ("mirror", "mirror_traffic")):
            if key in change:
                setattr(endpoint.properties, attribute, change[key])
        self._client.online_endpoints.begin_create_or_update(**here, body=endpoint).result()

    def set_deployment(self, endpoint: str, name: str, model: int, count: int) -> None:
        """Create a deployment of this model with so many instances, or change it."""
        kind = models.KubernetesOnlineDeployment if endpoint == KUBERNETES else models.ManagedOnlineDeployment
        body = models.OnlineDeployment(
            location="local",
            sku=models.Sku(name="Default", capacity=count),
            properties=kind(
                model=self._assets.models[model - 1],
                code_configuration=models.CodeConfiguration(code_id=self._assets.code, scoring_script="score.py"),
                environment_id=self._assets.environment,
                instance_type="Standard_DS3_v2",
            ),
        )
        here = {**PLACE, "endpoint_name": endpoint, "deployment_name": name}
        self._client.online_deployments.begin_create_or_update(**here, body=body).result()

    def scale(self, endpoint: str, name: str, count: int) -> None:
        """Give a deployment so many instances."""
        patch = models.PartialMinimalTrackedResourceWithSku(sku=models.PartialSku(name="Default", capacity=count))
        here = {**PLACE, "endpoint_name": endpoint, "deployment_name": name}
        self._client.online_deployments.begin_update(**here, body=patch).result()

    def delete_deployment(self, endpoint: str, name: str) -> None:
        """Delete a deployment."""
        here = {**PLACE, "endpoint_name": endpoint, "deployment_name": name}
        self._client.online_deployments.begin_delete(**here).result()

    def delete_endpoint(self, name: str) -> None:
        """Delete an endpoint with all that it has."""
        self._client.online_endpoints.begin_delete(**PLACE, endpoint_name=name).result()

    def observe(self) -> dict[str, Any]:
        """Return all that there is: each endpoint by its name, with its deployments."""
        return {
            str(endpoint.name): {
                "traffic": _positive(endpoint.properties.traffic),
                "mirror": _positive(endpoint.properties.mirror_traffic),
                "tags": endpoint.tags,
                "state": endpoint.properties.provisioning_state,
                "deployments": {
                    found.name: (
                        _version(found.properties.model),
                        found.sku and found.sku.capacity,
                        found.properties.provisioning_state,
                    )
                    for found in self._client.online_deployments.list(**PLACE, endpoint_name=str(endpoint.name))
                },
            }
            for endpoint in self._client.online_endpoints.list(**PLACE)
        }


def _positive(shares: dict[str, int] | None) -> dict[str, int]:
    return {name: share for name, share in (shares or {}).items() if share}


def _version(model_id: Any) -> int:
    return int(str(model_id).rpartition("/")[2].rpartition(":")[2])
