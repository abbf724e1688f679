"""Code, models, environments, data and components: named, versioned, and written down once."""

import hashlib
import re
import secrets
import urllib.parse
from typing import Any, Generic, NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localazure.arm.bodies import json_object
from localazure.arm.documents import Json
from localazure.arm.errors import BadRequest, NotFound, NotSupported
from localazure.arm.ids import Scope, system_data
from localazure.arm.operations import api_version
from localazure.arm.paging import page, view
from localazure.core.store import Store
from localazure.core.tables import Table
from localazure.storage.asset_documents import (
    BODIES,
    COMMON,
    DEFAULTS,
    PROPERTIES,
    VERSION_FILTERS,
    AssetProperties,
    CodeProperties,
    ComponentProperties,
    Container,
    ContainerBody,
    ContainerProperties,
    DataProperties,
    EnvironmentProperties,
    ModelProperties,
    P,
    UploadBody,
    Version,
    WrittenContainer,
    check_names,
    check_supported,
    is_archived,
    references,
    render_version,
    with_addresses,
)
from localazure.storage.blobs import BLOBS_PATH, Blobs
from localazure.storage.inference_images import conda_of_image

CONTAINER = "azureml-blobstore"
DATASTORE = "workspaceblobstore"


class Location(NamedTuple):
    """Where an asset's files lie."""

    container: str
    path: str


class Asset(NamedTuple, Generic[P]):
    """A version that was found by its id."""

    name: str
    version: str
    id: str
    created_at: str | None
    """None for one of Azure's own."""
    properties: P


class Assets:
    """The versions of all assets, and the addresses of their files."""

    def __init__(self, store: Store, blobs: Blobs, scope: Scope) -> None:
        self._blobs = blobs
        self._scope = scope
        self._codes = Table(store, "codes", Version[CodeProperties])
        self._models = Table(store, "models", Version[ModelProperties])
        self._environments = Table(store, "environments", Version[EnvironmentProperties])
        self._data = Table(store, "data", Version[DataProperties])
        self._versions: dict[str, Table[Version[Any]]] = {
            "codes": self._codes,
            "models": self._models,
            "environments": self._environments,
            "data": self._data,
            "components": Table(store, "components", Version[ComponentProperties]),
        }
        self._written = {kind: Table(store, f"{kind}/container", WrittenContainer) for kind in PROPERTIES}

    def code(self, arm_id: str) -> Asset[CodeProperties]:
        """Return a version of code by its ARM id.

        Raises:
            ArmError: As `model`.
        """
        return self._asset("codes", self._codes, arm_id)

    def model(self, arm_id: str) -> Asset[ModelProperties]:
        """Return a version of a model by its ARM id.

        Raises:
            BadRequest: It is not such an id.
            NotFound: There is no such version.
            NotSupported: It is a registry's asset.
        """
        return self._asset("models", self._models, arm_id)

    def environment(self, arm_id: str) -> Asset[EnvironmentProperties]:
        """Return a version of an environment by its ARM id, of Azure's own too.

        Raises:
            ArmError: As `model`.
        """
        own = re.fullmatch(r"azureml://registries/azureml/environments/([^/]+)/(?:versions|labels)/([^/]+)", arm_id)
        if own and (conda := conda_of_image(own[1])):
            return Asset(own[1], own[2], arm_id, None, EnvironmentProperties(condaFile=conda))
        return self._asset("environments", self._environments, arm_id)

    def data(self, arm_id: str) -> Asset[DataProperties]:
        """Return a version of a data asset by its ARM id.

        Raises:
            ArmError: As `model`.
        """
        return self._asset("data", self._data, arm_id)

    def _asset(self, kind: str, table: Table[Version[P]], arm_id: str) -> Asset[P]:
        if "/registries/" in arm_id or arm_id.startswith("azureml://registries/"):
            raise NotSupported(f"assets of registries ({arm_id}): register the asset in the workspace")
        match = re.search(rf"/{kind}/([^/]+)/(versions|labels)/([^/]+)$", arm_id, re.IGNORECASE)
        if not match or not self._scope.contains(arm_id):
            raise BadRequest(f"'{arm_id}' is not the id of one of the workspace's {kind}.")
        name, by, version = match.groups()
        if by.lower() == "labels":
            if version.lower() != "latest":
                raise NotFound(f"{kind} '{name}' has no label '{version}'.")
            version = self._latest(kind, name)
        if (resource := table.get(_key(name, version))) is None:
            raise _missing(kind, name, version)
        properties = with_addresses(resource.properties, self._current)
        return Asset(name, version, resource.id, resource.system_data.created_at, properties)

    def location(self, uri: str) -> Location:
        """Return the place of `azureml://…/datastores/…/paths/…` or of a blob's https address.

        Raises:
            NotSupported: Local Azure has no such place: a job's, a run's, another datastore's or account's.
        """
        if match := re.match(r"azureml://(?:.*/)?datastores/([^/]+)/paths/(.+)$", uri):
            if match[1] != DATASTORE:
                raise NotSupported(f"the datastore '{match[1]}': it has '{DATASTORE}' only")
            return Location(CONTAINER, match[2])
        if (own := self._own_path(uri)) is not None:
            container, _, name = urllib.parse.unquote(own.removeprefix(BLOBS_PATH + "/")).partition("/")
            return Location(container, name.rstrip("/"))
        raise NotSupported(f"files at '{uri}': give a local path, or a path in the datastore '{DATASTORE}'")

    def routes(self, root: str) -> list[Route]:
        """Return the asset operations under the workspace's path."""
        return [
            Route(root + "/{kind}/{name}/versions/{version}/startPendingUpload", self._upload, methods=["POST"]),
            Route(root + "/{kind}/{name}/versions/{version}", self._version, methods=["GET", "PUT", "DELETE"]),
            Route(root + "/{kind}/{name}/versions", self._all_versions, methods=["GET"]),
            Route(root + "/{kind}/{name}", self._container, methods=["GET", "PUT"]),
            Route(root + "/{kind}", self._all_containers, methods=["GET"]),
        ]

    async def _upload(self, request: Request) -> Response:
        kind, name, version = _kind(request), request.path_params["name"], request.path_params["version"]
        body = UploadBody.parse(await json_object(request))
        if body.pending_upload_type not in (None, "None", "TemporaryBlobReference"):
            raise NotSupported(f"uploads of the type {body.pending_upload_type}")
        check_names(name, version)
        digest = hashlib.sha256(_key(name, version).encode()).hexdigest()[:32]
        container = f"upload-{kind}-{digest}"
        url = f"{self._blobs.url}/{container}"
        return JSONResponse(
            {
                "blobReferenceForConsumption": {
                    "blobUri": url,
                    "storageAccountArmId": f"{self._scope.id}/storageAccounts/local",
                    "credential": {"credentialType": "SAS", "sasUri": f"{url}?{self._blobs.access.sas(container)}"},
                },
                "pendingUploadId": None,
                "pendingUploadType": "TemporaryBlobReference",
            }
        )

    async def _version(self, request: Request) -> Response:
        kind, name, version = _kind(request), request.path_params["name"], request.path_params["version"]
        key = _key(name, version)
        resource = self._versions[kind].get(key)
        match request.method:
            case "PUT":
                check_names(name, version)
                return self._put(kind, name, version, resource, await json_object(request), request)
            case "DELETE":
                self._versions[kind].delete(key)
                return Response(status_code=200 if resource else 204)
        if resource is None:
            raise _missing(kind, name, version)
        return JSONResponse(self._visible(kind, name, resource).as_json())

    def _put(
        self, kind: str, name: str, version: str, old: Version[Any] | None, json: Json, request: Request
    ) -> Response:
        body = BODIES[kind].parse(json)
        given: AssetProperties = with_addresses(body.properties or PROPERTIES[kind](), self._stored)
        for place in ("code_uri", "model_uri"):
            uri = getattr(given, place, None)
            if old and uri and self._stored(getattr(old.properties, place) or "") != uri:
                raise BadRequest("Asset paths cannot be updated.", "UserError")  # the words that the SDK looks for
            if uri and not self._blobs.names(*self.location(self._current(uri))):
                raise BadRequest(f"There are no files at '{uri}'.", "UserError")
        for named in references(given):
            self.environment(named) if "/environments/" in named else self.code(named)
        check_supported(kind, given, old)
        properties = {**COMMON, **DEFAULTS.get(kind, {}), **given.present()}
        created = old.system_data if old else None
        resource = Version[Any](
            id=f"{self._scope.id}/{kind}/{name}/versions/{version}",
            name=version,
            type=f"Microsoft.MachineLearningServices/workspaces/{kind}/versions",
            properties=PROPERTIES[kind]().model_copy(update=properties),
            system_data=created if created and kind == "environments" else system_data(created),
        )
        self._versions[kind].put(_key(name, version), resource)
        visible = self._visible(kind, name, resource).as_json()
        if old and kind != "environments":
            return JSONResponse(visible)
        here = f"{request.base_url}".rstrip("/") + f"{resource.id}?api-version={api_version(request)}"
        build = {"Build-ID": secrets.token_hex(8)} if kind == "environments" else {}
        return JSONResponse(visible, 201, {"Location": here, **build})

    async def _all_versions(self, request: Request) -> Response:
        kind, name = _kind(request), request.path_params["name"]
        # A client that asks by hash asks for a name that it has just made up, and reuses what it finds. It alone knows
        # how it hashes, and leaves the hash in the properties of what it uploads.
        by_hash = request.query_params.get("hash")
        kept = list(self._versions[kind].values("" if by_hash else _key(name)))
        if kind == "models":
            if not kept and self._written[kind].get(name.lower()) is None:
                raise self._missing_container(kind, name)
            kept = [resource for resource in kept if not resource.properties.is_anonymous]
        found = [self._visible(kind, name, resource) for resource in kept]
        return page(request, found, VERSION_FILTERS)

    async def _container(self, request: Request) -> Response:
        kind, name = _kind(request), request.path_params["name"]
        if request.method == "PUT":
            return self._put_container(kind, name, await json_object(request))
        if (container := self._render(kind, name)) is None:
            raise self._missing_container(kind, name)
        return JSONResponse(container.as_json())

    def _put_container(self, kind: str, name: str, json: Json) -> Response:
        body = ContainerBody.parse(json)
        given = (body.properties or ContainerProperties()).present()
        for place in ("latest_version", "next_version", "provisioning_state"):  # ours to say
            given.pop(place, None)
        old = self._written[kind].get(name.lower())
        written = WrittenContainer(
            name=name,
            properties=ContainerProperties().model_copy(update=given),
            system_data=system_data(old.system_data if old else None),
        )
        self._written[kind].put(name.lower(), written)
        container = self._render(kind, name)
        return JSONResponse(container.as_json() if container else None, 200 if old else 201)

    async def _all_containers(self, request: Request) -> Response:
        kind = _kind(request)
        names = dict.fromkeys(resource.id.split("/")[-3] for resource in self._versions[kind].values())
        names |= dict.fromkeys(written.name for written in self._written[kind].values())
        found = (self._render(kind, name) for name in names)
        return page(request, filter(None, found), {"listViewType": view(is_archived)}, size="count")

    def _render(self, kind: str, name: str) -> Container | None:
        """Return the container of all versions of a name: as a client wrote it, or as it came with the first one."""
        versions = list(self._versions[kind].values(_key(name)))
        written = self._written[kind].get(name.lower())
        if not versions and written is None:
            return None
        numbers = [int(resource.name) for resource in versions if resource.name.isdigit()]
        properties = {
            "description": None,
            "tags": {},
            "properties": {},
            "is_archived": False,
            **(written.properties.present() if written else {}),
            "latest_version": next((found.name for found in reversed(versions) if not is_archived(found)), None),
            "next_version": str(max(numbers, default=0) + 1),
            "provisioning_state": "Succeeded",
        }
        return Container(
            id=f"{self._scope.id}/{kind}/{name}",
            name=name,
            type=f"Microsoft.MachineLearningServices/workspaces/{kind}",
            properties=ContainerProperties().model_copy(update=properties),
            system_data=(written or versions[0]).system_data,
        )

    def _latest(self, kind: str, name: str) -> str:
        if (container := self._render(kind, name)) is None or container.properties.latest_version is None:
            raise self._missing_container(kind, name)
        return str(container.properties.latest_version)

    def _own_path(self, uri: str) -> str | None:
        """Return the path of an address of our storage, whatever host we had when it was given; None for others."""
        asked, here = urllib.parse.urlsplit(uri), urllib.parse.urlsplit(self._blobs.url)
        if asked.scheme != "https":
            return None
        if asked.path.startswith(BLOBS_PATH + "/"):
            return asked.path
        # The SDK joins addresses from parts, and what is the account's path here gets lost.
        return BLOBS_PATH + asked.path if asked.netloc.lower() == here.netloc.lower() else None

    def _stored(self, uri: str) -> str:
        """Return it as it is kept: without our host, which may be another one the next time, and in ARM's letters."""
        return self._own_path(uri) or re.sub(r"^(azureml://[^/]*/[^/]*)/resourcegroups/", r"\1/resourceGroups/", uri)

    def _current(self, uri: str) -> str:
        """Return it as it is answered: with the host that we have now."""
        return self._blobs.url + uri.removeprefix(BLOBS_PATH) if uri.startswith(BLOBS_PATH + "/") else uri

    def _visible(self, kind: str, name: str, resource: Version[Any]) -> Version[Any]:
        here = resource.model_copy(update={"properties": with_addresses(resource.properties, self._current)})
        newest = kind == "environments" and self._render(kind, name)
        return render_version(kind, here, latest=bool(newest and newest.properties.latest_version == resource.name))

    def _missing_container(self, kind: str, name: str) -> Exception:
        what = kind.removesuffix("s")
        message = f"There is no {what} '{name}' in the workspace '{self._scope.workspace}'."
        return NotFound(message, f"{what.capitalize()}NotFound")


def _key(name: str, version: str = "") -> str:
    return f"{name}/{version}".lower()


def _kind(request: Request) -> str:
    kind = str(request.path_params["kind"])
    if kind not in PROPERTIES:
        raise NotSupported(f"the resource type '{kind}'")
    return kind


def _missing(kind: str, name: str, version: str) -> Exception:
    return NotFound(f"There is no version '{version}' of the {kind.removesuffix('s')} '{name}' in the workspace.")
