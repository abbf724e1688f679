"""The workspace itself, its datastore, and the metadata of the cloud that it is in."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localazure.arm.errors import NotFound
from localazure.arm.ids import Scope, system_data
from localazure.storage import assets
from localazure.storage.blobs import ENDPOINT_SUFFIX, Blobs

CLOUD = "LocalAzure"
METADATA_PATH = "/metadata/endpoints"


class Workspace:
    """Read-only: local Azure comes with one workspace, which has one datastore."""

    def __init__(self, base_url: str, scope: Scope, location: str, tenant_id: str, blobs: Blobs) -> None:
        self._base_url = base_url
        self._scope = scope
        self._location = location
        self._tenant_id = tenant_id
        self._blobs = blobs
        self._created = system_data().as_json()

    def cloud_routes(self) -> list[Route]:
        """Return what a client asks before it has a token."""
        return [Route(METADATA_PATH, self._metadata, methods=["GET"])]

    def routes(self, root: str) -> list[Route]:
        """Return the workspace's own pages; `root` is its path."""
        datastore = root + "/datastores/{datastore}"
        return [
            Route(root, self._workspace, methods=["GET"]),
            Route(root + "/datastores", self._datastores, methods=["GET"]),
            Route(datastore, self._datastore, methods=["GET"]),
            Route(datastore + "/listSecrets", self._secrets, methods=["POST"]),
        ]

    async def _metadata(self, _request: Request) -> Response:
        """Return what Azure does: clients look up the cloud whose resource manager is where the metadata came from."""
        cloud = {
            "name": CLOUD,
            "portal": f"https://portal.azure.{ENDPOINT_SUFFIX}/",
            "resourceManager": f"{self._base_url}/",
            "authentication": {
                "loginEndpoint": f"{self._base_url}/",
                "audiences": [f"{self._base_url}/"],
                "tenant": self._tenant_id,
                "identityProvider": "AAD",
            },
            "suffixes": {"storage": ENDPOINT_SUFFIX},
        }
        return JSONResponse([cloud])

    async def _workspace(self, _request: Request) -> Response:
        return JSONResponse(self.resource())

    def resource(self) -> dict[str, Any]:
        """Return the workspace."""
        return {
            "id": self._scope.id,
            "name": self._scope.workspace,
            "type": "Microsoft.MachineLearningServices/workspaces",
            "location": self._location,
            "tags": {},
            "kind": "Default",
            "sku": {"name": "Basic", "tier": "Basic"},
            "identity": {"type": "SystemAssigned", "principalId": self._tenant_id, "tenantId": self._tenant_id},
            "properties": {
                "friendlyName": self._scope.workspace,
                "description": "A workspace of local Azure",
                "provisioningState": "Succeeded",
                "workspaceId": self._scope.subscription_id,
                "discoveryUrl": f"{self._base_url}/discovery",
                "mlFlowTrackingUri": f"azureml://{self._base_url.removeprefix('https://')}/mlflow/v1.0{self._scope.id}",
                "storageAccount": f"{self._scope.id}/storageAccounts/local",
                "publicNetworkAccess": "Enabled",
                "hbiWorkspace": False,
                "v1LegacyMode": False,
                "tenantId": self._tenant_id,
            },
            "systemData": self._created,
        }

    async def _datastores(self, _request: Request) -> Response:
        return JSONResponse({"value": [self._resource()]})

    async def _datastore(self, request: Request) -> Response:
        self._require(request)
        return JSONResponse(self._resource())

    async def _secrets(self, request: Request) -> Response:
        self._require(request)
        return JSONResponse({"secretsType": "Sas", "sasToken": self._blobs.sas(assets.CONTAINER)})

    def _require(self, request: Request) -> None:
        name = request.path_params["datastore"]
        if name != assets.DATASTORE:
            raise NotFound(f"There is no datastore '{name}' in the workspace '{self._scope.workspace}'.")

    def _resource(self) -> dict[str, Any]:
        return {
            "id": f"{self._scope.id}/datastores/{assets.DATASTORE}",
            "name": assets.DATASTORE,
            "type": "Microsoft.MachineLearningServices/workspaces/datastores",
            "properties": {
                "datastoreType": "AzureBlob",
                "accountName": self._blobs.account,
                "containerName": assets.CONTAINER,
                "endpoint": ENDPOINT_SUFFIX,
                "protocol": "https",
                "credentials": {"credentialsType": "Sas"},
                "isDefault": True,
                "tags": {},
                "properties": {},
            },
            "systemData": self._created,
        }
