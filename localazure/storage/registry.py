"""The registry `azureml`, as far as a client asks it which version of a curated environment is the latest."""

import json

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localazure.arm.errors import NotFound, NotSupported
from localazure.arm.identity import Identity
from localazure.arm.ids import Scope, system_data
from localazure.arm.paging import page
from localazure.storage.asset_documents import EnvironmentProperties, Version
from localazure.storage.inference_images import conda_of_image

NAME = "azureml"
VERSION = "1"
"""Of every environment here: local Azure makes the same of all versions."""

_FRONT_END = "/mferp/managementfrontend"
_VERSIONS = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices"
    "/registries/{registry}/environments/{name}/versions"
)


class Registry:
    """The registry of curated environments, which can only be read."""

    def __init__(self, base_url: str, scope: Scope, location: str, identity: Identity) -> None:
        self._base_url = base_url
        self._scope = scope
        self._location = location
        self._identity = identity
        self._created = system_data()

    def open_routes(self) -> list[Route]:
        """Return where the registry is."""
        path = "/registrymanagement/v1.0/registries/{registry}/discovery"
        return [Route(path, self._discovery, methods=["GET"])]

    def routes(self) -> list[Route]:
        """Return what it holds."""
        return [Route(_FRONT_END + _VERSIONS, self._versions, methods=["GET"])]

    async def _discovery(self, request: Request) -> Response:
        self._identity.check(request)
        self._require(request)
        return JSONResponse(
            {
                "registryName": NAME,
                "tenantId": self._identity.tenant_id,
                "primaryRegion": self._location,
                "regions": [self._location],
                "subscriptionId": self._scope.subscription_id,
                "resourceGroup": self._scope.resource_group,
                "primaryRegionResourceProviderUri": f"{self._base_url}/",
            }
        )

    async def _versions(self, request: Request) -> Response:
        self._require(request)
        name = request.path_params["name"]
        if (conda := conda_of_image(name)) is None:
            raise NotSupported(f"the environment '{name}' of the registry '{NAME}'")
        version = Version[EnvironmentProperties](
            id=f"azureml://registries/{NAME}/environments/{name}/versions/{VERSION}",
            name=VERSION,
            type="Microsoft.MachineLearningServices/registries/environments/versions",
            properties=EnvironmentProperties(
                condaFile=json.dumps(conda),
                isAnonymous=False,
                isArchived=False,
                osType="Linux",
                environmentType="Curated",
                provisioningState="Succeeded",
            ),
            system_data=self._created,
        )
        return page(request, [version], {"listViewType": lambda _resource, _wanted: True})

    def _require(self, request: Request) -> None:
        if (name := request.path_params["registry"]) != NAME:
            raise NotFound(f"There is no registry '{name}'.")
