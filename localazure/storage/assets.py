"""Code, models and environments: named, versioned, and written down once."""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from collections.abc import Callable
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localazure.arm import shapes
from localazure.arm.bodies import json_object
from localazure.arm.errors import bad_request, not_found, not_implemented
from localazure.arm.ids import Scope, system_data
from localazure.arm.paging import page, pairs, view
from localazure.core.store import Document, Store
from localazure.storage.blobs import BLOBS_PATH, Blobs
from localazure.storage.curated import minimal

KINDS = ("codes", "models", "environments", "data")
CONTAINER = "azureml-blobstore"
DATASTORE = "workspaceblobstore"

_ADDRESSES = ("codeUri", "modelUri", "dataUri", "contextUri")

_DEFAULTS: dict[str, dict[str, Any]] = {
    "models": {"flavors": {}, "modelType": "custom_model"},
    "data": {"dataType": "uri_file"},
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
            own = re.fullmatch(r"azureml://registries/azureml/environments/([^/]+)/(?:versions|labels)/([^/]+)", arm_id)
            if own and kind == "environments" and (conda := minimal(own[1])):
                return own[1], own[2], {"id": arm_id, "properties": {"condaFile": conda}}
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
        return name, version, self._shown(resource)

    def resolve(self, properties: Document) -> tuple[Document, Document]:
        """A deployment's properties with the id of a version for each asset, where a label may have stood.

        The other document says by kind when these versions were registered: one that was deleted may come back with
        other files. Raises ArmError, as `get`.
        """
        resolved, registered = {**properties}, {}

        def version(kind: str, arm_id: str) -> str:
            _, _, resource = self.get(kind, arm_id)
            registered[kind] = resource.get("systemData", {}).get("createdAt")
            return str(resource["id"])

        for kind, key in (("models", "model"), ("environments", "environmentId")):
            if properties.get(key):
                resolved[key] = version(kind, properties[key])
        if code := properties.get("codeConfiguration"):
            resolved["codeConfiguration"] = {**code, "codeId": version("codes", code["codeId"])}
        return resolved, registered

    def location(self, uri: str) -> Location:
        """Container and path of `azureml://…/datastores/…/paths/…` or of a blob's https address.

        Raises ArmError: 501 for places that local Azure has not (jobs, runs, other datastores and accounts).
        """
        if match := re.match(r"azureml://(?:.*/)?datastores/([^/]+)/paths/(.+)$", uri):
            if match[1] != DATASTORE:
                raise not_implemented(f"the datastore '{match[1]}': it has '{DATASTORE}' only")
            return Location(CONTAINER, match[2])
        if (own := self._own_path(uri)) is not None:
            container, _, name = urllib.parse.unquote(own.removeprefix(BLOBS_PATH + "/")).partition("/")
            return Location(container, name.rstrip("/"))
        raise not_implemented(f"files at '{uri}': give a local path, or a path in the datastore '{DATASTORE}'")

    def routes(self, root: str) -> list[Route]:
        """The asset operations under the workspace's path."""
        return [
            Route(root + "/{kind}/{name}/versions/{version}/startPendingUpload", self._upload, methods=["POST"]),
            Route(root + "/{kind}/{name}/versions/{version}", self._version, methods=["GET", "PUT", "DELETE"]),
            Route(root + "/{kind}/{name}/versions", self._versions, methods=["GET"]),
            Route(root + "/{kind}/{name}", self._container, methods=["GET", "PUT"]),
            Route(root + "/{kind}", self._all_containers, methods=["GET"]),
        ]

    async def _upload(self, request: Request) -> Response:
        kind, name, version = _kind(request), request.path_params["name"], request.path_params["version"]
        body = await json_object(request)
        shapes.check(body, shapes.UPLOAD)
        if body.get("pendingUploadType") not in (None, "None", "TemporaryBlobReference"):
            raise not_implemented(f"uploads of the type {body['pendingUploadType']}")
        _check_name(name, version)
        digest = hashlib.sha256(_key(name, version).encode()).hexdigest()[:32]
        container = f"upload-{kind}-{digest}"
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
                _check_name(name, version)
                return self._put(kind, name, version, resource, await json_object(request))
            case "DELETE":
                self._store.delete(kind, key)
                return Response(status_code=200 if resource else 204)
        if resource is None:
            raise _missing(kind, name, version)
        return JSONResponse(self._shown(resource))

    def _put(self, kind: str, name: str, version: str, old: Document | None, body: Document) -> Response:
        shapes.check(body, shapes.VERSIONS[kind])
        properties = _with_addresses(body.get("properties") or {}, self._stored)
        for key in ("codeUri", "modelUri"):
            uri = properties.get(key)
            if old and uri and self._stored(old["properties"].get(key) or "") != uri:
                raise bad_request("Asset paths cannot be updated.", "UserError")  # the words that the SDK looks for
            if uri and not self._blobs.names(*self.location(self._current(uri))):
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
        return JSONResponse(self._shown(resource), 200 if old else 201)

    async def _versions(self, request: Request) -> Response:
        kind, name = _kind(request), request.path_params["name"]
        # A client that asks by hash asks for a name that it has just made up, and reuses what it finds. It alone knows
        # how it hashes, and leaves the hash in the properties of what it uploads.
        by_hash = request.query_params.get("hash")
        found = [self._shown(resource) for _, resource in self._store.items(kind, "" if by_hash else _key(name))]
        return page(request, found, _VERSION_FILTERS)

    async def _container(self, request: Request) -> Response:
        kind, name = _kind(request), request.path_params["name"]
        if request.method == "PUT":
            return self._put_container(kind, name, await json_object(request))
        container = self._render(kind, name)
        if container is None:
            raise self._missing_container(kind, name)
        return JSONResponse(container)

    def _put_container(self, kind: str, name: str, body: Document) -> Response:
        shapes.check(body, shapes.CONTAINER)
        given = {key: value for key, value in (body.get("properties") or {}).items() if value is not None}
        for key in ("latestVersion", "nextVersion", "provisioningState"):  # ours to say
            given.pop(key, None)
        old = self._store.get(_containers(kind), name.lower())
        document = {"name": name, "properties": given, "systemData": system_data(old and old["systemData"])}
        self._store.put(_containers(kind), name.lower(), document)
        return JSONResponse(self._render(kind, name), 200 if old else 201)

    async def _all_containers(self, request: Request) -> Response:
        kind = _kind(request)
        names = dict.fromkeys(resource["id"].split("/")[-3] for _, resource in self._store.items(kind))
        names |= dict.fromkeys(document["name"] for _, document in self._store.items(_containers(kind)))
        found = (self._render(kind, name) for name in names)
        return page(request, filter(None, found), {"listViewType": view(_archived)}, size="count")

    def _render(self, kind: str, name: str) -> Document | None:
        """The container of all versions of a name: as a client wrote it, or as it came with the first version."""
        versions = [resource for _, resource in self._store.items(kind, _key(name))]
        written = self._store.get(_containers(kind), name.lower())
        if not versions and written is None:
            return None
        numbers = [int(resource["name"]) for resource in versions if resource["name"].isdigit()]
        return {
            "id": f"{self._scope.id}/{kind}/{name}",
            "name": name,
            "type": f"Microsoft.MachineLearningServices/workspaces/{kind}",
            "properties": {
                "description": None,
                "tags": {},
                "properties": {},
                "isArchived": False,
                **(written["properties"] if written else {}),
                "latestVersion": next((found["name"] for found in reversed(versions) if not _archived(found)), None),
                "nextVersion": str(max(numbers, default=0) + 1),
                "provisioningState": "Succeeded",
            },
            "systemData": (written or versions[0])["systemData"],
        }

    def _latest(self, kind: str, name: str) -> str:
        container = self._render(kind, name)
        if container is None or container["properties"]["latestVersion"] is None:
            raise self._missing_container(kind, name)
        return str(container["properties"]["latestVersion"])

    def _own_path(self, uri: str) -> str | None:
        """The path of an address of our storage, whatever host local Azure had when it was given; None for others."""
        asked, here = urllib.parse.urlsplit(uri), urllib.parse.urlsplit(self._blobs.url)
        if asked.scheme != "https":
            return None
        if asked.path.startswith(BLOBS_PATH + "/"):
            return asked.path
        # The SDK joins addresses from parts, and what is the account's path here gets lost.
        return BLOBS_PATH + asked.path if asked.netloc.lower() == here.netloc.lower() else None

    def _stored(self, uri: str) -> str:
        """As it is kept: without our host, which may be another one the next time."""
        return self._own_path(uri) or uri

    def _current(self, uri: str) -> str:
        """As it is shown: with the host that we have now."""
        return self._blobs.url + uri.removeprefix(BLOBS_PATH) if uri.startswith(BLOBS_PATH + "/") else uri

    def _shown(self, resource: Document) -> Document:
        return {**resource, "properties": _with_addresses(resource["properties"], self._current)}

    def _missing_container(self, kind: str, name: str) -> Exception:
        return not_found(f"There is no {kind.removesuffix('s')} '{name}' in the workspace '{self._scope.workspace}'.")


def _with_addresses(properties: Document, change: Callable[[str], str]) -> Document:
    """A version's properties with every address of files changed."""
    changed = {
        key: change(value) if key in _ADDRESSES and isinstance(value, str) else value
        for key, value in properties.items()
    }
    if build := properties.get("build"):
        changed["build"] = _with_addresses(build, change)
    return changed


def _check_name(*names: str) -> None:
    """Raise ArmError (400) for what could not be an asset's name or version; they become names of folders."""
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,254}", name, re.ASCII):
            raise bad_request(
                f"'{name}' is no name or version of an asset: they begin with a letter or digit and have at most 255"
                " letters, digits, dots, dashes and underscores."
            )


def _key(name: str, version: str = "") -> str:
    return f"{name}/{version}".lower()


def _kind(request: Request) -> str:
    kind = str(request.path_params["kind"])
    if kind not in KINDS:
        raise not_implemented(f"the resource type '{kind}'")
    return kind


def _containers(kind: str) -> str:
    return f"{kind}/container"


def _archived(resource: Document) -> bool:
    return bool(resource["properties"].get("isArchived"))


def _missing(kind: str, name: str, version: str) -> Exception:
    return not_found(f"There is no version '{version}' of the {kind.removesuffix('s')} '{name}' in the workspace.")


_VERSION_FILTERS = {
    "hash": lambda resource, wanted: wanted in (resource["properties"]["properties"] or {}).values(),
    "hashVersion": lambda _resource, _wanted: True,
    "version": lambda resource, wanted: bool(resource["name"].lower() == wanted.lower()),
    "description": lambda resource, wanted: bool(resource["properties"]["description"] == wanted),
    "stage": lambda resource, wanted: bool(resource["properties"].get("stage") == wanted),
    "tags": pairs(lambda resource: resource["properties"]["tags"]),
    "properties": pairs(lambda resource: resource["properties"]["properties"]),
    "listViewType": view(_archived),
}
