"""Code, models and environments: named, versioned, and written down once."""

from __future__ import annotations

import re
import urllib.parse
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localazure.arm import Scope, bad_request, json_object, not_found, not_implemented, system_data
from localazure.blobs import Blobs
from localazure.store import Document, Store

KINDS = ("codes", "models", "environments")
CONTAINER = "azureml-blobstore"
DATASTORE = "workspaceblobstore"


_DEFAULTS: dict[str, dict[str, Any]] = {
    "models": {"flavors": {}, "modelType": "custom_model"},
    "environments": {"osType": "Linux", "environmentType": "UserCreated"},
}


class Location(NamedTuple):
    """Where an asset's files lie."""

    container: str
    path: str


class Assets:
    """The versions of all assets, and the addresses of their files."""

    def __init__(self, store: Store, blobs: Blobs, scope: Scope) -> None:
        self._store = store
        self._blobs = blobs
        self._scope = scope

    def get(self, kind: str, arm_id: str) -> tuple[str, str, Document]:
        """(name, version, resource) of an asset by its ARM id.

        Raises ArmError: 400 for an id that is none, 404 where there is no such version, 501 for a registry's asset.
        """
        if "/registries/" in arm_id or arm_id.startswith("azureml://registries/"):
            raise not_implemented(f"assets of registries ({arm_id}): register the asset in the workspace")
        match = re.search(rf"/{kind}/([^/]+)/(versions|labels)/([^/]+)$", arm_id, re.IGNORECASE)
        if not match or not self._scope.contains(arm_id):
            raise bad_request(f"'{arm_id}' is not the id of one of the workspace's {kind}.")
        name, by, version = match.groups()
        if by.lower() == "labels":
            if version.lower() != "latest":
                raise not_found(f"{kind} '{name}' has no label '{version}'.")
            version = self._latest(kind, name)
        resource = self._store.get(kind, _key(name, version))
        if resource is None:
            raise _missing(kind, name, version)
        return name, version, resource

    def location(self, uri: str) -> Location:
        """Container and path of `azureml://…/datastores/…/paths/…` or of a blob's https address.

        Raises ArmError: 501 for places that local Azure has not (jobs, runs, other datastores and accounts).
        """
        if match := re.match(r"azureml://(?:.*/)?datastores/([^/]+)/paths/(.+)$", uri):
            if match[1] != DATASTORE:
                raise not_implemented(f"the datastore '{match[1]}': it has '{DATASTORE}' only")
            return Location(CONTAINER, match[2])
        path = urllib.parse.urlsplit(uri).path
        prefix = urllib.parse.urlsplit(self._blobs.url).path + "/"
        if uri.startswith("https://") and path.startswith(prefix):
            container, _, name = urllib.parse.unquote(path.removeprefix(prefix)).partition("/")
            return Location(container, name.rstrip("/"))
        raise not_implemented(f"files at '{uri}': give a local path, or a path in the datastore '{DATASTORE}'")

    def routes(self, root: str) -> list[Route]:
        """The asset operations under the workspace's path."""
        return [
            Route(root + "/{kind}/{name}/versions/{version}/startPendingUpload", self._upload, methods=["POST"]),
            Route(root + "/{kind}/{name}/versions/{version}", self._version, methods=["GET", "PUT", "DELETE"]),
            Route(root + "/{kind}/{name}/versions", self._versions, methods=["GET"]),
            Route(root + "/{kind}/{name}", self._container, methods=["GET", "PUT"]),
            Route(root + "/{kind}", self._containers, methods=["GET"]),
        ]

    async def _upload(self, request: Request) -> Response:
        kind, name, version = _kind(request), request.path_params["name"], request.path_params["version"]
        container = f"upload-{kind}-{_container_name(name)}-{_container_name(version)}"[:63].rstrip("-")
        url = f"{self._blobs.url}/{container}"
        return JSONResponse(
            {
                "blobReferenceForConsumption": {
                    "blobUri": url,
                    "storageAccountArmId": f"{self._scope.id}/storageAccounts/local",
                    "credential": {"credentialType": "SAS", "sasUri": f"{url}?{self._blobs.sas(container)}"},
                },
                "pendingUploadId": None,
                "pendingUploadType": "TemporaryBlobReference",
            }
        )

    async def _version(self, request: Request) -> Response:
        kind, name, version = _kind(request), request.path_params["name"], request.path_params["version"]
        key = _key(name, version)
        resource = self._store.get(kind, key)
        match request.method:
            case "PUT":
                return self._put(kind, name, version, resource, await json_object(request))
            case "DELETE":
                self._store.delete(kind, key)
                return Response(status_code=200 if resource else 204)
        if resource is None:
            raise _missing(kind, name, version)
        return JSONResponse(resource)

    def _put(self, kind: str, name: str, version: str, old: Document | None, body: Document) -> Response:
        properties = dict(body.get("properties") or {})
        for key in ("codeUri", "modelUri"):
            uri = properties.get(key)
            if old and uri and old["properties"].get(key) != uri:
                raise bad_request("Asset paths cannot be updated.", "UserError")  # the words that the SDK looks for
            if uri and not self._blobs.names(*self.location(uri)):
                raise bad_request(f"There are no files at '{uri}'.", "UserError")
        properties = {
            **_DEFAULTS.get(kind, {}),
            **{key: value for key, value in properties.items() if value is not None},
        }
        resource = {
            "id": f"{self._scope.id}/{kind}/{name}/versions/{version}",
            "name": version,
            "type": f"Microsoft.MachineLearningServices/workspaces/{kind}/versions",
            "properties": {
                "description": None,
                "tags": {},
                "properties": {},
                "isArchived": False,
                "isAnonymous": False,
                "provisioningState": "Succeeded",
                **properties,
            },
            "systemData": system_data(old["systemData"] if old else None),
        }
        self._store.put(kind, _key(name, version), resource)
        return JSONResponse(resource, 200 if old else 201)

    async def _versions(self, request: Request) -> Response:
        kind, name = _kind(request), request.path_params["name"]
        query = request.query_params
        wanted = query.get("hash")
        found = [resource for _, resource in self._store.items(kind, "" if wanted else _key(name))]
        if wanted:
            # Under whatever name: clients ask for a name that they have just made up, and reuse what they find. They
            # alone know how they hash, and leave the hash in the properties of what they upload.
            found = [r for r in found if wanted in (r["properties"]["properties"] or {}).values()]
        if "desc" in query.get("$orderBy", "").lower():
            found.reverse()
        if (top := query.get("$top", "")).isdigit():
            found = found[: int(top)]
        return JSONResponse({"value": found})

    async def _container(self, request: Request) -> Response:
        kind, name = _kind(request), request.path_params["name"]
        if request.method == "PUT":
            raise not_implemented(f"PUT on the container of {kind} '{name}'")
        return JSONResponse(self._container_resource(kind, name))

    async def _containers(self, request: Request) -> Response:
        kind = _kind(request)
        names = dict.fromkeys(resource["id"].split("/")[-3] for _, resource in self._store.items(kind))
        return JSONResponse({"value": [self._container_resource(kind, name) for name in names]})

    def _container_resource(self, kind: str, name: str) -> Document:
        latest = self._latest(kind, name)
        numbers = [int(key.rpartition("/")[2]) for key, _ in self._store.items(kind, _key(name)) if _number(key)]
        oldest = next(resource for _, resource in self._store.items(kind, _key(name)))
        return {
            "id": f"{self._scope.id}/{kind}/{name}",
            "name": name,
            "type": f"Microsoft.MachineLearningServices/workspaces/{kind}",
            "properties": {
                "description": None,
                "tags": {},
                "properties": {},
                "isArchived": False,
                "latestVersion": latest,
                "nextVersion": str(max(numbers, default=0) + 1),
                "provisioningState": "Succeeded",
            },
            "systemData": oldest["systemData"],
        }

    def _latest(self, kind: str, name: str) -> str:
        versions = [resource["name"] for _, resource in self._store.items(kind, _key(name))]
        if not versions:
            raise not_found(
                f"There is no {kind.removesuffix('s')} '{name}' in the workspace '{self._scope.workspace}'."
            )
        return str(versions[-1])


def environment(resource: Document) -> dict[str, Any]:
    """An environment version's properties.

    Raises ArmError (501) for one that is built from a Dockerfile, which needs a container engine.
    """
    properties: dict[str, Any] = resource["properties"]
    if properties.get("build"):
        raise not_implemented("environments with a build context: it has no container engine")
    return properties


def _key(name: str, version: str = "") -> str:
    return f"{name}/{version}".lower()


def _kind(request: Request) -> str:
    kind = str(request.path_params["kind"])
    if kind not in KINDS:
        raise not_implemented(f"the resource type '{kind}'")
    return kind


def _missing(kind: str, name: str, version: str) -> Exception:
    return not_found(f"There is no version '{version}' of the {kind.removesuffix('s')} '{name}' in the workspace.")


def _number(key: str) -> bool:
    return key.rpartition("/")[2].isdigit()


def _container_name(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
