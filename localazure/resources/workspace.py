"""The workspace itself, its datastore, and the metadata of the cloud that it is in."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localazure.arm.documents import Json
from localazure.arm.errors import USER_ERROR, BadRequest, NotFound
from localazure.arm.ids import Scope, system_data
from localazure.resources import workspace_documents
from localazure.resources.workspace_documents import Place
from localazure.storage import assets
from localazure.storage.blobs import ENDPOINT_SUFFIX, Blobs

CLOUD = "LocalAzure"
METADATA_PATH = "/metadata/endpoints"


class Workspace:
    """Read-only: local Azure comes with one workspace, which has one datastore."""

    def __init__(
        self, base_url: str, scope: Scope, location: str, tenant_id: str, identity_based: bool, blobs: Blobs
    ) -> None:
        self._base_url = base_url
        self._scope = scope
        self._tenant_id = tenant_id
        self._place = Place(scope, base_url, location, tenant_id, identity_based, system_data())
        self._blobs = blobs

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

    def resource(self) -> Json:
        """Return the workspace as Azure's management API shows it."""
        return workspace_documents.workspace(self._place)

    async def _datastores(self, _request: Request) -> Response:
        return JSONResponse({"value": [self._resource()]})

    async def _datastore(self, request: Request) -> Response:
        self._require(request)
        return JSONResponse(self._resource())

    async def _secrets(self, request: Request) -> Response:
        self._require(request)
        if self._place.identity_based:
            raise BadRequest(
                f"The datastore '{assets.DATASTORE}' is identity-based: it has no secrets. Sign in at the storage"
                " account.",
                USER_ERROR,
            )
        return JSONResponse({"secretsType": "Sas", "sasToken": f"?{self._blobs.access.sas(assets.CONTAINER)}"})

    def _require(self, request: Request) -> None:
        name = request.path_params["datastore"]
        if name != assets.DATASTORE:
            raise NotFound(f"There is no datastore '{name}' in the workspace '{self._scope.workspace}'.")

    def _resource(self) -> Json:
        return workspace_documents.datastore(self._place, self._blobs.account)
