"""Online endpoints: their resource, their keys, their traffic."""

from __future__ import annotations

import functools
import re
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localazure.arm import shapes
from localazure.arm.bodies import json_object
from localazure.arm.errors import ArmError, bad_request, conflict, not_found
from localazure.arm.faults import NO_FAULT, Fate, fate_of, moment_of
from localazure.arm.identity import Identity
from localazure.arm.ids import Scope, system_data
from localazure.arm.operations import Operations
from localazure.arm.paging import page, pairs
from localazure.compute.revisions import Revisions
from localazure.compute.runtime import Runtime, Targets
from localazure.core.clock import Change
from localazure.core.store import Document, Store
from localazure.gateway import xds
from localazure.resources import credentials, deployment_settings, rules
from localazure.resources.quota import Quota

KIND = "endpoint"


class Endpoints:
    """The endpoint operations.

    A document holds the resource under `resource`, its keys under `keys`. While a change is under way, `previous` is
    the document before it, and `effective` tells whether the change has taken effect.
    """

    def __init__(
        self,
        store: Store,
        operations: Operations,
        runtime: Runtime,
        revisions: Revisions,
        identity: Identity,
        scope: Scope,
        location: str,
    ) -> None:
        self._store = store
        self._operations = operations
        self._runtime = runtime
        self._revisions = revisions
        self._tokens = identity
        self._scope = scope
        self._location = location

    def routes(self, root: str) -> list[Route]:
        """The operations under the workspace's path."""
        one = root + "/onlineEndpoints/{endpoint}"
        return [
            Route(root + "/onlineEndpoints", self._list, methods=["GET"]),
            Route(one, self._one, methods=["GET", "PUT", "PATCH", "DELETE"]),
            Route(one + "/listKeys", self._list_keys, methods=["POST"]),
            Route(one + "/regenerateKeys", self._regenerate_keys, methods=["POST"]),
            Route(one + "/token", self._token, methods=["POST"]),
        ]

    def resume(self) -> None:
        """Go on with the changes that an earlier process left unfinished; what is wanted has been written down."""
        for name, document in list(self._store.items(KIND)):
            match document["resource"]["properties"]["provisioningState"]:
                case "Creating" | "Updating":
                    self._apply(name, Change.ENDPOINT_UPDATE)
                case "Deleting":
                    self._remove(name)

    async def _list(self, request: Request) -> Response:
        found = self._store.items(KIND, as_of=moment_of(request))
        return page(request, [self._render(document) for _, document in found], _FILTERS, "count")

    async def _one(self, request: Request) -> Response:
        name = request.path_params["endpoint"]
        match request.method:
            case "PUT":
                return self._put(name, await json_object(request), fate_of(request))
            case "PATCH":
                return self._patch(name, await json_object(request), fate_of(request))
            case "DELETE":
                return self._delete(name, fate_of(request))
        return JSONResponse(self._render(self._document(name, moment_of(request))))

    def _put(self, name: str, body: dict[str, Any], fate: Fate) -> Response:
        rules.check_name("endpoint", name)
        shapes.check(body, shapes.ENDPOINT)
        old = self._store.get(KIND, name.lower())
        given = dict(body.get("properties") or {})
        compute = given.get("compute")
        if old and bool(old["resource"]["properties"]["compute"]) != bool(compute):
            raise bad_request("An endpoint stays what it is: its compute cannot be added or taken away.")
        if compute and not re.search(r"/computes/[^/]+$", str(compute), re.IGNORECASE):
            raise bad_request(f"compute must be the id of a Kubernetes compute, not {compute!r}.")
        auth_mode = credentials.AUTH_MODES.get(str(given.get("authMode", "")).lower())
        if auth_mode is None:
            raise bad_request(
                f"authMode must be one of {', '.join(credentials.AUTH_MODES.values())}, not {given.get('authMode')!r}."
            )
        rules.check_tags(body.get("tags") or {})
        self._operations.require_idle(_resource(name), f"The endpoint '{name}'")
        properties: dict[str, Any] = {
            "authMode": auth_mode,
            "description": given.get("description"),
            "properties": given.get("properties") or {},
            "publicNetworkAccess": rules.choice(
                "publicNetworkAccess", given.get("publicNetworkAccess"), ("Enabled", "Disabled"), "Enabled"
            ),
            "traffic": self._traffic(given.get("traffic"), name),
            "mirrorTraffic": self._traffic(given.get("mirrorTraffic"), name),
            "compute": compute or None,
        }
        if compute and any(properties["mirrorTraffic"].values()):
            raise bad_request("A Kubernetes endpoint cannot mirror traffic.")
        rules.check_traffic(properties["traffic"], properties["mirrorTraffic"], self._ready_deployments(name))
        display = old["resource"]["name"] if old else name
        resource = {
            "id": f"{self._scope.id}/onlineEndpoints/{display}",
            "name": display,
            "type": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints",
            "location": body.get("location") or self._location,
            "tags": body.get("tags") or {},
            "kind": body.get("kind") or ("K8S" if compute else "Managed"),
            "identity": self._identity(body.get("identity")),
            "properties": {**properties, "provisioningState": "Updating" if old else "Creating"},
            "systemData": system_data(old["resource"]["systemData"] if old else None),
        }
        keys = old["keys"] if old else credentials.first_keys(given.get("keys") or {})
        document = {"resource": resource, "keys": keys, _SCORED_AT: old and old.get(_SCORED_AT)}
        return self._begin(name, document, 200 if old else 201, fate)

    def _patch(self, name: str, body: dict[str, Any], fate: Fate) -> Response:
        document = self._document(name)
        shapes.check(body, shapes.ENDPOINT_PATCH)
        self._operations.require_idle(_resource(name), f"The endpoint '{name}'")
        rules.check_tags(body.get("tags") or {})
        if "tags" in body:
            document["resource"]["tags"] = body["tags"] or {}
        if "identity" in body:
            document["resource"]["identity"] = self._identity(body["identity"])
        document["resource"]["systemData"] = system_data(document["resource"]["systemData"])
        document["resource"]["properties"]["provisioningState"] = "Updating"
        return self._begin(name, document, 202, fate)

    def _delete(self, name: str, fate: Fate) -> Response:
        document = self._store.get(KIND, name.lower())
        if document is None:
            return Response(status_code=204)
        for deployment in self._deployments(name):
            self._operations.require_idle(
                f"{_resource(name)}/deployments/{deployment}", f"The deployment '{deployment}'"
            )
        document["resource"]["properties"]["provisioningState"] = "Deleting"
        with self._store.transaction():
            self._store.put(KIND, name.lower(), document)
            headers = self._remove(name, fate)
        headers.pop("Azure-AsyncOperation")  # Azure answers DELETE with Location alone
        return Response(status_code=202, headers=headers)

    def _remove(self, name: str, fate: Fate = NO_FAULT) -> dict[str, str]:
        async def work() -> None:
            await self._runtime.remove_endpoint(name)
            for deployment in self._deployments(name):
                self._revisions.delete(name, deployment)
            with self._store.transaction():
                for deployment in self._deployments(name):
                    self._store.delete("deployment", f"{name}/{deployment}".lower())
                self._store.delete(KIND, name.lower())
            await self._runtime.recover(name)

        return self._operations.start(
            _resource(name), work, functools.partial(self._settle, name), Change.ENDPOINT_DELETE, fate=fate
        )

    def _begin(self, name: str, document: Document, status: int, fate: Fate) -> Response:
        document |= {"previous": self._store.get(KIND, name.lower()), "effective": False}
        with self._store.transaction():
            self._store.put(KIND, name.lower(), document)
            headers = self._apply(name, Change.ENDPOINT_CREATE if status == 201 else Change.ENDPOINT_UPDATE, fate)
        if status == 202:
            headers.pop("Azure-AsyncOperation")
        return JSONResponse(self._render(document), status, headers)

    def _apply(self, name: str, change: Change, fate: Fate = NO_FAULT) -> dict[str, str]:
        async def work() -> None:
            self._store.put(KIND, name.lower(), {**self._document(name), "effective": True})
            await self._runtime.publish()

        settle, made = functools.partial(self._settle, name), (lambda: self._render(self._document(name)))
        return self._operations.start(_resource(name), work, settle, change, made, fate)

    async def _list_keys(self, request: Request) -> Response:
        document = self._document(request.path_params["endpoint"])
        credentials.require_mode(document, "Key", "it has no keys")
        primary, secondary = document["keys"]
        return JSONResponse({"primaryKey": primary, "secondaryKey": secondary})

    async def _regenerate_keys(self, request: Request) -> Response:
        name = request.path_params["endpoint"]
        body = await json_object(request)  # first, for others may change the endpoint until it is there
        document = self._document(name)
        credentials.require_mode(document, "Key", "it has no keys")
        shapes.check(body, shapes.REGENERATE_KEYS)
        which = {"primary": 0, "secondary": 1}.get(str(body.get("keyType", "")).lower())
        if which is None:
            raise bad_request(f"keyType must be Primary or Secondary, not {body.get('keyType')!r}.")
        # The SDK sends the key in force as keyValue; taking it would make "regenerate" do nothing.
        value = body.get("keyValue")
        document["keys"][which] = (
            credentials.checked_key(value) if value and value not in document["keys"] else credentials.new_key()
        )
        return self._begin(name, document, 202, fate_of(request))

    async def _token(self, request: Request) -> Response:
        document = self._document(request.path_params["endpoint"])
        credentials.require_mode(document, "AMLToken", "it gives no tokens of its own")
        moment = int(time.time())
        return JSONResponse(
            {
                "accessToken": self._tokens.issue(credentials.audience(document), credentials.TOKEN_LIFE_S),
                "tokenType": "Bearer",
                "expiryTimeUtc": moment + credentials.TOKEN_LIFE_S,
                "refreshAfterTimeUtc": moment + credentials.TOKEN_LIFE_S // 2,
            }
        )

    def _document(self, name: str, moment: float | None = None) -> Document:
        document = self._store.get(KIND, name.lower(), moment)
        if document is None:
            raise missing_endpoint(name, self._scope)
        return document

    def _deployments(self, name: str) -> list[str]:
        start = name.lower() + "/"
        return [key.removeprefix(start) for key, _ in self._store.items("deployment", start)]

    def _ready_deployments(self, name: str) -> list[str]:
        """Those that can take traffic: they have been ready once, whatever became of a later update."""
        start = name.lower() + "/"
        return [key.removeprefix(start) for key, found in self._store.items("deployment", start) if found["serving"]]

    def _traffic(self, given: dict[str, Any] | None, name: str) -> dict[str, Any]:
        """With each deployment by the name that it was created with: names compare without regard to case."""
        start = name.lower() + "/"
        names = {
            key.removeprefix(start): document["resource"]["name"]
            for key, document in self._store.items("deployment", start)
        }
        return {names.get(key.lower(), key): share for key, share in (given or {}).items()}

    def _settle(self, name: str, reason: ArmError | None) -> None:
        if document := self._store.get(KIND, name.lower()):
            previous = document.pop("previous", None)
            if reason and previous and not document["effective"]:
                document = previous
            document["resource"]["properties"]["provisioningState"] = "Failed" if reason else "Succeeded"
            self._store.put(KIND, name.lower(), document)

    def _identity(self, given: dict[str, Any] | None) -> dict[str, Any]:
        """A system-assigned identity unless another was asked for; its ids belong to no real principal."""
        rules.check_identity(given)
        kind = (given or {}).get("type") or "SystemAssigned"
        return {**(given or {}), "type": kind, "principalId": _NOBODY, "tenantId": _NOBODY}

    def _render(self, document: Document) -> Document:
        resource = document["resource"]
        root = self._runtime.address(resource["name"])
        uris = {"scoringUri": root + (document.get(_SCORED_AT) or "/score"), "swaggerUri": root + "/swagger.json"}
        return {**resource, "properties": {**resource["properties"], **uris}}


def score_at(document: Document, path: str) -> None:
    """Let the endpoint's scoring address lead to `path`: to where its last deployment is scored, as on Azure."""
    document[_SCORED_AT] = path
    if document.get("previous"):
        document["previous"][_SCORED_AT] = path


def missing_endpoint(name: str, scope: Scope) -> ArmError:
    """404 for an endpoint that is not there."""
    return not_found(f"The online endpoint '{name}' was not found in the workspace '{scope.workspace}'.")


def require_settled(document: Document) -> None:
    """Raise ArmError (409) while the endpoint is being created or deleted: it can take no deployments then."""
    state = document["resource"]["properties"]["provisioningState"]
    if state in ("Creating", "Deleting"):
        raise conflict(f"The endpoint '{document['resource']['name']}' is {state}. Wait until it has succeeded.")


def compute_of(document: Document) -> str:
    """What the endpoint's deployments run on."""
    return (
        deployment_settings.KUBERNETES if document["resource"]["properties"]["compute"] else deployment_settings.MANAGED
    )


def is_deleting(document: Document) -> bool:
    """Whether the endpoint and all that it has are being deleted."""
    return bool(document["resource"]["properties"]["provisioningState"] == "Deleting")


def wanted_routes(store: Store, quota: Quota, running: Targets) -> list[xds.Endpoint]:
    """What the gateway shall do for all endpoints, given the deployments that run."""
    found = (_wanted_routes(document, running.get(name, {}), quota) for name, document in store.items(KIND))
    return [endpoint for endpoint in found if endpoint]


def _wanted_routes(document: Document, targets: dict[str, xds.Target], quota: Quota) -> xds.Endpoint | None:
    """What the gateway shall do for the endpoint; None before it is created."""
    if "previous" in document and not document["effective"]:
        document = document["previous"]
        if document is None:
            return None
    properties = document["resource"]["properties"]
    return xds.Endpoint(
        name=document["resource"]["name"],
        keys=tuple(document["keys"]),
        audience=None if properties["authMode"] == "Key" else credentials.audience(document),
        traffic=properties["traffic"],
        mirror=properties["mirrorTraffic"],
        deployments=targets,
        requests_per_second=quota.requests,
        megabytes_per_second=quota.bandwidth,
        kubernetes=compute_of(document) == deployment_settings.KUBERNETES,
    )


_FILTERS = {
    "name": lambda resource, wanted: bool(resource["name"].lower() == wanted.lower()),
    "computeType": lambda resource, wanted: bool(compute_of({"resource": resource}).lower() == wanted.lower()),
    "tags": pairs(lambda resource: resource["tags"]),
    "properties": pairs(lambda resource: resource["properties"]["properties"]),
}

_SCORED_AT = "scored_at"
_NOBODY = "00000000-0000-0000-0000-000000000000"


def _resource(name: str) -> str:
    return f"onlineEndpoints/{name}"
