"""Online deployments: their resource, and how a change to it becomes running instances."""

import functools
import logging

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localazure.arm.bodies import json_object
from localazure.arm.documents import Json, Sku
from localazure.arm.durations import duration_s
from localazure.arm.errors import ArmError, BadRequest, InstanceFailed, NotFound
from localazure.arm.faults import NO_FAULT, Fate, fate_of, moment_of
from localazure.arm.ids import Scope, system_data
from localazure.arm.operations import Operations, api_version
from localazure.arm.paging import page
from localazure.compute.autoscaler import Scaling
from localazure.compute.instances import Setup
from localazure.compute.programs import Programs
from localazure.compute.properties import resolve
from localazure.compute.revisions import Revisions
from localazure.compute.runtime import Limits, Runtime
from localazure.core.clock import Change
from localazure.core.store import Store
from localazure.resources import deployment_settings, endpoints, rules
from localazure.resources.container_logs import read_log
from localazure.resources.deployment_documents import (
    Deployment,
    DeploymentBody,
    DeploymentPatch,
    DeploymentPropertiesBody,
    DeploymentSku,
    DeploymentState,
    LogsBody,
    Serving,
    deployments_table,
    key_of,
)
from localazure.resources.endpoint_documents import EndpointState, endpoints_table
from localazure.resources.quota import Quota
from localazure.resources.restarts import NOT_READY, Restarts
from localazure.resources.views import OPERATION, Views, without_own
from localazure.storage.assets import Assets

log = logging.getLogger(__name__)

_CHANGES = {
    "Creating": Change.DEPLOYMENT_CREATE,
    "Updating": Change.DEPLOYMENT_UPDATE,
    "Scaling": Change.DEPLOYMENT_SCALE,
}


class Deployments:
    """The deployment operations."""

    def __init__(
        self,
        store: Store,
        operations: Operations,
        restarts: Restarts,
        runtime: Runtime,
        assets: Assets,
        programs: Programs,
        revisions: Revisions,
        quota: Quota,
        views: Views,
        scope: Scope,
        location: str,
    ) -> None:
        self._store = store
        self._states = deployments_table(store)
        self._endpoints = endpoints_table(store)
        self._operations = operations
        self._runtime = runtime
        self._assets = assets
        self._programs = programs
        self._revisions = revisions
        self._quota = quota
        self._views = views
        self._scope = scope
        self._location = location
        self._restarts = restarts

    def routes(self, root: str) -> list[Route]:
        """Return the operations under the workspace's path."""
        many = root + "/onlineEndpoints/{endpoint}/deployments"
        one = many + "/{deployment}"
        return [
            Route(many, self._list, methods=["GET"]),
            Route(one, self._one, methods=["GET", "PUT", "PATCH", "DELETE"]),
            Route(one + "/getLogs", self._get_logs, methods=["POST"]),
            Route(one + "/skus", self._skus, methods=["GET"]),
        ]

    def restore(self) -> None:
        """Bring back what an earlier process served, and go on with what it left unfinished."""
        for key, state in list(self._states.items()):
            endpoint, _, _ = key.partition("/")
            name, stage = state.resource.name, state.resource.properties.provisioning_state
            if self._endpoint(endpoint).resource.deleting:
                continue
            if stage == "Deleting":
                self._remove(endpoint, name)
            elif stage in _CHANGES:
                self._apply(endpoint, name, _CHANGES[stage])
            if (serving := state.serving) and stage != "Deleting":
                work = functools.partial(self._run, endpoint, name, serving)
                settle, needed = functools.partial(self._restored, key), functools.partial(self._is_away, key, serving)
                self._restarts.expect(_resource(endpoint, name), work, settle, needed)

    async def _list(self, request: Request) -> Response:
        endpoint, moment = request.path_params["endpoint"], moment_of(request)
        self._endpoint(endpoint, moment)
        found = self._states.values(key_of(endpoint, ""), moment)
        return page(request, [self._views.deployment(state, api_version(request)) for state in found], {})

    async def _one(self, request: Request) -> Response:
        endpoint, name = request.path_params["endpoint"], request.path_params["deployment"]
        match request.method:
            case "PUT":
                return await self._put(endpoint, name, await json_object(request), request)
            case "PATCH":
                return self._patch(endpoint, name, await json_object(request), request)
            case "DELETE":
                return self._delete(endpoint, name, request)
        state = self._state(endpoint, name, moment_of(request))
        return JSONResponse(self._views.deployment(state, api_version(request)).as_json())

    async def _put(self, endpoint: str, name: str, json: Json, request: Request) -> Response:
        rules.check_name("deployment", name)
        body = DeploymentBody.parse(json)
        rules.check_identity(body.identity)
        compute = self._endpoint(endpoint).resource.compute
        given = body.properties or DeploymentPropertiesBody()
        properties, registered = resolve(deployment_settings.complete(given, compute), self._assets)
        await self._programs.require(properties)
        # nothing waits from here on: what has been checked stays so
        endpoints.require_settled(parent := self._endpoint(endpoint).resource)
        old = self._states.get(key_of(endpoint, name))
        if old is None:
            self._quota.check_deployments(sum(1 for _ in self._states.values(key_of(endpoint, ""))))
        if compute == "Kubernetes":
            rules.check_names_together(endpoint, name)
        sku = body.sku or Sku()
        rules.check_tags(body.tags or {})
        display = old.resource.name if old else name
        shown = [properties, old.resource.properties] if old else [properties]
        variables = self._views.of_client(properties.environment_variables, *shown)
        properties = properties.model_copy(update={"environment_variables": variables})
        capacity = deployment_settings.capacity(sku, properties)
        resource = Deployment(
            id=f"{parent.id}/deployments/{display}",
            name=display,
            type="Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments",
            location=body.location or self._location,
            tags=body.tags or {},
            kind=body.kind or parent.kind,
            identity=body.identity,
            properties=properties,
            sku=sku.model_copy(update={"name": "Default", "tier": "Standard", "capacity": capacity}),
            system_data=old.resource.system_data if old else system_data(),
        )
        new = DeploymentState(resource=resource, registered=registered)
        return self._begin(endpoint, name, old, new, 201, request)

    def _patch(self, endpoint: str, name: str, json: Json, request: Request) -> Response:
        old = self._state(endpoint, name)
        body = DeploymentPatch.parse(json)
        resource = old.resource.model_copy(update={"system_data": system_data(old.resource.system_data)})
        if "tags" in body.model_fields_set:
            rules.check_tags(body.tags or {})
            resource.tags = body.tags or {}
        if "identity" in body.model_fields_set:
            rules.check_identity(body.identity)
            resource.identity = body.identity
        if body.sku and body.sku.model_fields_set:
            sku = Sku(capacity=resource.sku.capacity).model_copy(update=body.sku.changes())
            capacity = deployment_settings.capacity(sku, resource.properties)
            resource.sku = resource.sku.model_copy(update={"capacity": capacity})
        new = DeploymentState(resource=resource, registered=old.registered)
        return self._begin(endpoint, name, old, new, 202, request)

    def _begin(
        self,
        endpoint: str,
        name: str,
        old: DeploymentState | None,
        new: DeploymentState,
        status: int,
        request: Request,
    ) -> Response:
        resource, key = new.resource, key_of(endpoint, name)
        sent = resource.properties.properties
        echoed = str(sent.get(OPERATION, ""))
        resource.properties = resource.properties.model_copy(update={"properties": without_own(sent)})
        rules.check_instance_count(resource.sku.capacity)
        self._quota.check_instances(resource.size)
        self._quota.check_cores(
            resource.size, (found.resource.size for other, found in self._states.items() if other != key)
        )
        stage = new.stage_after(old)
        resource.properties = resource.properties.model_copy(update={"provisioning_state": stage})
        new.serving = old.serving if old else None
        version = api_version(request)
        with self._store.transaction():
            self._states.put(key, new)
            begun = self._apply(endpoint, name, _CHANGES[stage], fate_of(request), version)
            new.operation = old.operation if old and old.operation and old.operation in echoed else begun
            self._states.put(key, new)
        if status == 202:
            headers = self._operations.headers(begun, request)
            headers.pop("Azure-AsyncOperation")
            return JSONResponse(self._views.deployment(new, version).as_json(), status, headers)
        headers = self._operations.headers(begun, request, resource.id)
        return JSONResponse(self._views.begun(new, begun, version, is_new=old is None), status, headers)

    def _apply(self, endpoint: str, name: str, change: Change, fate: Fate = NO_FAULT, version: str = "") -> str:
        async def work() -> None:
            state = self._state(endpoint, name)
            if state.serving and not self._runtime.runs(endpoint, name):  # we were stopped during the change
                await self._run(endpoint, name, state.serving)
            resource = state.resource
            wanted = Serving(
                properties=resource.properties, registered=state.registered, capacity=resource.sku.capacity
            )
            setup = await self._run(endpoint, name, wanted)
            state.serving = wanted
            with self._store.transaction():
                self._states.put(key_of(endpoint, name), state)
                if change is not Change.DEPLOYMENT_SCALE:
                    parent = self._endpoint(endpoint)
                    parent.score_at(setup.program.scored_at)
                    self._endpoints.put(endpoint.lower(), parent)

        def made() -> Json:
            return self._views.deployment(self._state(endpoint, name), version).as_json()

        settle = functools.partial(self._settle, endpoint, name)
        return self._operations.start(_resource(endpoint, name), work, settle, change, made, fate)

    def _delete(self, endpoint: str, name: str, request: Request) -> Response:
        state = self._states.get(key_of(endpoint, name))
        if state is None:
            return Response(status_code=204)
        parent = self._endpoint(endpoint).resource.properties
        for what, traffic in (("live", parent.traffic), ("mirrored", parent.mirror_traffic)):
            share = {key.lower(): value for key, value in traffic.items()}.get(name.lower())
            if share:
                raise BadRequest(
                    f"The deployment '{name}' has {share}% of the endpoint's {what} traffic and cannot be deleted. Move"
                    " the traffic to other deployments first."
                )
        state.resource.properties.provisioning_state = "Deleting"
        with self._store.transaction():
            self._states.put(key_of(endpoint, name), state)
            state.operation = self._remove(endpoint, name, fate_of(request))
            self._states.put(key_of(endpoint, name), state)
        return JSONResponse(None, 202, self._operations.headers(state.operation, request))

    def _remove(self, endpoint: str, name: str, fate: Fate = NO_FAULT) -> str:
        async def work() -> None:
            await self._runtime.remove(endpoint, name)
            self._revisions.delete(endpoint, name)
            self._states.delete(key_of(endpoint, name))

        settle = functools.partial(self._settle, endpoint, name)
        return self._operations.start(_resource(endpoint, name), work, settle, Change.DEPLOYMENT_DELETE, fate=fate)

    async def _run(self, endpoint: str, name: str, wanted: Serving) -> Setup:
        requests, capacity = wanted.properties.request_settings, wanted.capacity
        scaling = Scaling.parse(wanted.properties.scale_settings, requests)
        most = scaling.most if scaling else capacity
        collection = self._programs.collection(self._state(endpoint, name).resource.id, wanted.properties)
        limits = Limits(
            request_timeout_ms=round(duration_s(requests.request_timeout) * 1000),
            max_pending=2 * requests.max_concurrent_requests_per_instance * most,
            payloads=collection.payloads if collection else None,
        )
        registered = wanted.registered or {}
        setup = await self._revisions.prepare(endpoint, name, wanted.properties, registered, collection)
        try:
            await self._runtime.shape(endpoint, name, setup, capacity, limits, scaling)
        except InstanceFailed as error:
            raise ArmError(
                400,
                NOT_READY,
                f"The user container of the deployment '{name}' has crashed or did not become ready: {error}. See the"
                f" deployment's logs.{setup.program.hint}",
            ) from error
        self._revisions.tidy(endpoint, name, keep=setup)
        return setup

    async def _get_logs(self, request: Request) -> Response:
        endpoint, name = request.path_params["endpoint"], request.path_params["deployment"]
        state = self._state(endpoint, name).resource.properties.provisioning_state
        body = LogsBody.parse(await json_object(request))
        return JSONResponse({"content": read_log(self._revisions.folder(endpoint, name), body, state)})

    async def _skus(self, request: Request) -> Response:
        self._state(request.path_params["endpoint"], request.path_params["deployment"], moment_of(request))
        sku = DeploymentSku(
            resource_type="Microsoft.MachineLearning.Services/endpoints/deployments",
            sku=Sku(name="Default"),
            capacity={"default": 1, "minimum": 1, "maximum": self._quota.instances, "scaleType": "Manual"},
        )
        return page(request, [sku], {}, size="count")

    def _endpoint(self, name: str, moment: float | None = None) -> EndpointState:
        state = self._endpoints.get(name.lower(), moment)
        if state is None:
            raise endpoints.missing_endpoint(name, self._scope)
        return state

    def _state(self, endpoint: str, name: str, moment: float | None = None) -> DeploymentState:
        self._endpoint(endpoint, moment)
        state = self._states.get(key_of(endpoint, name), moment)
        if state is None:
            raise NotFound(f"The deployment '{name}' was not found in the online endpoint '{endpoint}'.")
        return state

    def _settle(self, endpoint: str, name: str, reason: ArmError | None) -> None:
        if reason:
            log.warning("the deployment %s of %s has failed: %s", name, endpoint, reason)
        if state := self._states.get(key_of(endpoint, name)):
            state.resource.properties.provisioning_state = "Failed" if reason else "Succeeded"
            self._states.put(key_of(endpoint, name), state)

    def _is_away(self, key: str, serving: Serving) -> bool:
        """Return whether the deployment served so before and does not serve now; nobody has deleted it, or begun to."""
        endpoint, _, name = key.partition("/")
        parent, state = self._endpoints.get(endpoint), self._states.get(key)
        if parent is None or parent.resource.deleting or state is None:
            return False
        return state.serving == serving and not self._runtime.runs(endpoint, name)

    def _restored(self, key: str, reason: ArmError | None) -> None:
        """A deployment that is back is in the state that it was in; until then it is Failed."""
        state = self._states.get(key)
        if state and (reason or state.was):
            properties = state.resource.properties
            was = state.was or properties.provisioning_state
            properties.provisioning_state = "Failed" if reason else was
            state.was = was if reason else None
            self._states.put(key, state)


def _resource(endpoint: str, name: str) -> str:
    return f"onlineEndpoints/{endpoint}/deployments/{name}"
