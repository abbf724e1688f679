"""Online endpoints: their resource, their keys, their traffic."""

import functools
import re
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localazure.arm.bodies import json_object
from localazure.arm.documents import Identity, Json
from localazure.arm.errors import ArmError, BadRequest, Conflict, NotFound
from localazure.arm.faults import NO_FAULT, Fate, fate_of, moment_of
from localazure.arm.identity import Identity as Tokens
from localazure.arm.ids import Scope, system_data
from localazure.arm.managed_identity import ENDPOINTS
from localazure.arm.operations import Operations, api_version
from localazure.arm.paging import Filter, page, pairs
from localazure.compute.revisions import Revisions
from localazure.compute.runtime import Runtime
from localazure.core.clock import Change
from localazure.core.store import Store
from localazure.resources import credentials, rules
from localazure.resources.deployment_documents import deployments_table, key_of
from localazure.resources.endpoint_documents import (
    Endpoint,
    EndpointBody,
    EndpointPatch,
    EndpointProperties,
    EndpointPropertiesBody,
    EndpointState,
    KeyBody,
    endpoints_table,
)
from localazure.resources.views import Views, without_own


class Endpoints:
    """The endpoint operations."""

    def __init__(
        self,
        store: Store,
        operations: Operations,
        runtime: Runtime,
        revisions: Revisions,
        tokens: Tokens,
        views: Views,
        scope: Scope,
        location: str,
    ) -> None:
        self._store = store
        self._states = endpoints_table(store)
        self._deployments = deployments_table(store)
        self._operations = operations
        self._runtime = runtime
        self._revisions = revisions
        self._tokens = tokens
        self._views = views
        self._scope = scope
        self._location = location

    def routes(self, root: str) -> list[Route]:
        """Return the operations under the workspace's path."""
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
        for name, state in list(self._states.items()):
            match state.resource.properties.provisioning_state:
                case "Creating" | "Updating":
                    self._apply(name, Change.ENDPOINT_UPDATE)
                case "Deleting":
                    self._remove(name)

    async def _list(self, request: Request) -> Response:
        found = self._states.values(as_of=moment_of(request))
        version = api_version(request)
        return page(request, [self._views.endpoint(state, version) for state in found], _FILTERS, "count")

    async def _one(self, request: Request) -> Response:
        name = request.path_params["endpoint"]
        match request.method:
            case "PUT":
                return self._put(name, await json_object(request), request)
            case "PATCH":
                return self._patch(name, await json_object(request), request)
            case "DELETE":
                return self._delete(name, request)
        return JSONResponse(self._views.endpoint(self._state(name, moment_of(request)), api_version(request)).as_json())

    def _put(self, name: str, json: Json, request: Request) -> Response:
        rules.check_name("endpoint", name)
        body = EndpointBody.parse(json)
        old = self._states.get(name.lower())
        given = body.properties or EndpointPropertiesBody()
        if old and bool(old.resource.properties.compute) != bool(given.compute):
            raise BadRequest("An endpoint stays what it is: its compute cannot be added or taken away.")
        if given.compute and not re.search(r"/computes/[^/]+$", str(given.compute), re.IGNORECASE):
            raise BadRequest(f"compute must be the id of a Kubernetes compute, not {given.compute!r}.")
        auth_mode = credentials.auth_mode(given.auth_mode)
        rules.check_tags(body.tags or {})
        self._operations.require_idle(_resource(name), f"The endpoint '{name}'")
        access = rules.choice("publicNetworkAccess", given.public_network_access, ("Enabled", "Disabled"), "Enabled")
        traffic, mirror = self._traffic(given.traffic, name), self._traffic(given.mirror_traffic, name)
        if given.compute and any(mirror.values()):
            raise BadRequest("A Kubernetes endpoint cannot mirror traffic.")
        rules.check_traffic(traffic, mirror, self._ready_deployments(name))
        display = old.resource.name if old else name
        resource = Endpoint(
            id=f"{self._scope.id}/onlineEndpoints/{display}",
            name=display,
            type="Microsoft.MachineLearningServices/workspaces/onlineEndpoints",
            location=body.location or self._location,
            tags=body.tags or {},
            kind=body.kind or ("K8S" if given.compute else "Managed"),
            identity=_identity(body.identity),
            properties=EndpointProperties(
                auth_mode=auth_mode,
                description=given.description,
                properties=without_own(given.properties or {}),
                public_network_access=access,
                traffic=traffic,
                mirror_traffic=mirror,
                compute=str(given.compute) if given.compute else None,
                provisioning_state="Updating" if old else "Creating",
            ),
            system_data=system_data(old.resource.system_data if old else None),
        )
        keys = old.keys if old else credentials.first_keys(given.keys)
        state = EndpointState(resource=resource, keys=keys, scored_at=old.scored_at if old else None)
        return self._begin(name, state, 201, request)

    def _patch(self, name: str, json: Json, request: Request) -> Response:
        state = self._state(name)
        body = EndpointPatch.parse(json)
        self._operations.require_idle(_resource(name), f"The endpoint '{name}'")
        rules.check_tags(body.tags or {})
        if "tags" in body.model_fields_set:
            state.resource.tags = body.tags or {}
        if "identity" in body.model_fields_set:
            state.resource.identity = _identity(body.identity)
        state.resource.system_data = system_data(state.resource.system_data)
        state.resource.properties.provisioning_state = "Updating"
        return self._begin(name, state, 202, request)

    def _delete(self, name: str, request: Request) -> Response:
        state = self._states.get(name.lower())
        if state is None:
            return Response(status_code=204)
        for deployment in self._deployment_names(name):
            self._operations.require_idle(
                f"{_resource(name)}/deployments/{deployment}", f"The deployment '{deployment}'"
            )
        state.resource.properties.provisioning_state = "Deleting"
        with self._store.transaction():
            self._states.put(name.lower(), state)
            state.operation = self._remove(name, fate_of(request))
            self._states.put(name.lower(), state)
        return JSONResponse(None, 202, self._operations.headers(state.operation, request))

    def _remove(self, name: str, fate: Fate = NO_FAULT) -> str:
        async def work() -> None:
            await self._runtime.remove_endpoint(name)
            for deployment in self._deployment_names(name):
                self._revisions.delete(name, deployment)
            with self._store.transaction():
                for deployment in self._deployment_names(name):
                    self._deployments.delete(key_of(name, deployment))
                self._states.delete(name.lower())
            await self._runtime.recover(name)

        alone = not self._deployment_names(name)
        change = Change.ENDPOINT_DELETE if alone else Change.ENDPOINT_DELETE_WITH_DEPLOYMENTS
        return self._operations.start(_resource(name), work, functools.partial(self._settle, name), change, fate=fate)

    def _begin(self, name: str, state: EndpointState, status: int, request: Request) -> Response:
        state.previous = self._states.get(name.lower())
        state.effective = False
        change = Change.ENDPOINT_UPDATE if state.previous else Change.ENDPOINT_CREATE
        version = api_version(request)
        with self._store.transaction():
            self._states.put(name.lower(), state)
            state.operation = self._apply(name, change, fate_of(request), version)
            self._states.put(name.lower(), state)
        headers = self._operations.headers(state.operation, request, state.resource.id if status == 201 else None)
        if status == 202:
            headers.pop("Azure-AsyncOperation")
        return JSONResponse(self._views.endpoint(state, version).as_json(), status, headers)

    def _apply(self, name: str, change: Change, fate: Fate = NO_FAULT, version: str = "") -> str:
        async def work() -> None:
            self._states.put(name.lower(), self._state(name).model_copy(update={"effective": True}))
            await self._runtime.publish()

        def made() -> Json:
            return self._views.endpoint(self._state(name), version).as_json()

        settle = functools.partial(self._settle, name)
        return self._operations.start(_resource(name), work, settle, change, made, fate)

    async def _list_keys(self, request: Request) -> Response:
        state = self._state(request.path_params["endpoint"])
        credentials.require_mode(state.resource, "Key", "it has no keys")
        primary, secondary = state.keys
        return JSONResponse({"primaryKey": primary, "secondaryKey": secondary})

    async def _regenerate_keys(self, request: Request) -> Response:
        name = request.path_params["endpoint"]
        json = await json_object(request)  # first, for others may change the endpoint until it is there
        state = self._state(name)
        credentials.require_mode(state.resource, "Key", "it has no keys")
        body = KeyBody.parse(json)
        which = {"primary": 0, "secondary": 1}.get(str(body.key_type).lower())
        if which is None:
            raise BadRequest(f"keyType must be Primary or Secondary, not {body.key_type!r}.")
        # The SDK sends the key in force as keyValue; taking it would make "regenerate" do nothing.
        value = body.key_value
        state.keys[which] = (
            credentials.checked_key(value) if value and value not in state.keys else credentials.new_key()
        )
        return self._begin(name, state, 202, request)

    async def _token(self, request: Request) -> Response:
        endpoint = self._state(request.path_params["endpoint"]).resource
        credentials.require_mode(endpoint, "AMLToken", "it gives no tokens of its own")
        moment = int(time.time())
        return JSONResponse(
            {
                "accessToken": self._tokens.issue(credentials.audience(endpoint), credentials.TOKEN_LIFE_S),
                "tokenType": "Bearer",
                "expiryTimeUtc": moment + credentials.TOKEN_LIFE_S,
                "refreshAfterTimeUtc": moment + credentials.TOKEN_LIFE_S - credentials.TOKEN_REFRESH_S,
            }
        )

    def _state(self, name: str, moment: float | None = None) -> EndpointState:
        state = self._states.get(name.lower(), moment)
        if state is None:
            raise missing_endpoint(name, self._scope)
        return state

    def _deployment_names(self, name: str) -> list[str]:
        start = key_of(name, "")
        return [key.removeprefix(start) for key, _ in self._deployments.items(start)]

    def _ready_deployments(self, name: str) -> list[str]:
        """Return those that can take traffic: they have been ready once, whatever became of a later update."""
        start = key_of(name, "")
        return [key.removeprefix(start) for key, found in self._deployments.items(start) if found.serving]

    def _traffic(self, given: dict[str, Any] | None, name: str) -> dict[str, Any]:
        """Return it with each deployment by the name that it was created with: names compare without regard to case."""
        start = key_of(name, "")
        names = {key.removeprefix(start): found.resource.name for key, found in self._deployments.items(start)}
        return {names.get(key.lower(), key): share for key, share in (given or {}).items()}

    def _settle(self, name: str, reason: ArmError | None) -> None:
        if state := self._states.get(name.lower()):
            if reason and state.previous and not state.effective:
                state = state.previous
            state.previous, state.effective = None, True
            state.resource.properties.provisioning_state = "Failed" if reason else "Succeeded"
            self._states.put(name.lower(), state)


def missing_endpoint(name: str, scope: Scope) -> ArmError:
    """Return the error for an endpoint that is not there."""
    return NotFound(f"The online endpoint '{name}' was not found in the workspace '{scope.workspace}'.")


def require_settled(endpoint: Endpoint) -> None:
    """Check that the endpoint can take deployments.

    Raises:
        Conflict: It is being created or deleted.
    """
    state = endpoint.properties.provisioning_state
    if state in ("Creating", "Deleting"):
        raise Conflict(f"The endpoint '{endpoint.name}' is {state}. Wait until it has succeeded.")


def _identity(given: Identity | None) -> Identity:
    """Return a system-assigned identity unless another was asked for; its ids belong to no real principal."""
    rules.check_identity(given)
    given = given or Identity()
    kind = given.type or "SystemAssigned"
    return given.model_copy(update={"type": kind, "principal_id": ENDPOINTS, "tenant_id": ENDPOINTS})


_FILTERS: dict[str, Filter[Endpoint]] = {
    "name": lambda endpoint, wanted: endpoint.name.lower() == wanted.lower(),
    "computeType": lambda endpoint, wanted: endpoint.compute.lower() == wanted.lower(),
    "tags": pairs(lambda endpoint: endpoint.tags),
    "properties": pairs(lambda endpoint: endpoint.properties.properties),
}


def _resource(name: str) -> str:
    return f"onlineEndpoints/{name}"
