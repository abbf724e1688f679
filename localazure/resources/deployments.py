"""Online deployments: their resource, and how a change to it becomes running instances."""

from __future__ import annotations

import functools
import logging
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localazure.arm import shapes
from localazure.arm.bodies import json_object
from localazure.arm.durations import duration_s
from localazure.arm.errors import ArmError, InstanceFailed, bad_request, not_found
from localazure.arm.faults import NO_FAULT, Fate, fate_of, moment_of
from localazure.arm.ids import Scope, system_data
from localazure.arm.operations import Operations
from localazure.arm.paging import page
from localazure.compute.autoscaler import Scaling
from localazure.compute.instances import Setup
from localazure.compute.programs import Programs
from localazure.compute.revisions import SERVER_LOG, STORAGE_LOG, Revisions
from localazure.compute.runtime import Limits, Runtime
from localazure.core.clock import Change
from localazure.core.store import Document, Store
from localazure.resources import deployment_settings, endpoints, rules
from localazure.resources.quota import Quota
from localazure.resources.restarts import NOT_READY, Returns
from localazure.storage.assets import Assets

KIND = "deployment"

log = logging.getLogger(__name__)

_LOGS = {"inferenceserver": SERVER_LOG, "storageinitializer": STORAGE_LOG}
_DEFAULT_TAIL = 500

_CHANGES = {
    "Creating": Change.DEPLOYMENT_CREATE,
    "Updating": Change.DEPLOYMENT_UPDATE,
    "Scaling": Change.DEPLOYMENT_SCALE,
}


class Deployments:
    """The deployment operations.

    A document holds the resource under `resource`, under `registered` when its assets were, and under `serving` the
    properties, assets and instance count that last became ready: a failed update leaves those running. `was` is the
    state before it failed to come back.
    """

    def __init__(
        self,
        store: Store,
        operations: Operations,
        returns: Returns,
        runtime: Runtime,
        assets: Assets,
        programs: Programs,
        revisions: Revisions,
        quota: Quota,
        scope: Scope,
        location: str,
    ) -> None:
        self._store = store
        self._operations = operations
        self._runtime = runtime
        self._assets = assets
        self._programs = programs
        self._revisions = revisions
        self._quota = quota
        self._scope = scope
        self._location = location
        self._returns = returns

    def routes(self, root: str) -> list[Route]:
        """The operations under the workspace's path."""
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
        for key, document in list(self._store.items(KIND)):
            endpoint, _, _ = key.partition("/")
            name, state = document["resource"]["name"], document["resource"]["properties"]["provisioningState"]
            if endpoints.is_deleting(self._endpoint(endpoint)):
                continue
            if state == "Deleting":
                self._remove(endpoint, name)
            elif state in _CHANGES:
                self._apply(endpoint, name, _CHANGES[state])
            if (serving := document.get("serving")) and state != "Deleting":
                work = functools.partial(self._run, endpoint, name, serving)
                settle, needed = functools.partial(self._restored, key), functools.partial(self._is_away, key, serving)
                self._returns.expect(_resource(endpoint, name), work, settle, needed)

    async def _list(self, request: Request) -> Response:
        endpoint, moment = request.path_params["endpoint"], moment_of(request)
        self._endpoint(endpoint, moment)
        found = self._store.items(KIND, endpoint.lower() + "/", moment)
        return page(request, [document["resource"] for _, document in found], {})

    async def _one(self, request: Request) -> Response:
        endpoint, name = request.path_params["endpoint"], request.path_params["deployment"]
        match request.method:
            case "PUT":
                return await self._put(endpoint, name, await json_object(request), fate_of(request))
            case "PATCH":
                return self._patch(endpoint, name, await json_object(request), fate_of(request))
            case "DELETE":
                return self._delete(endpoint, name, fate_of(request))
        return JSONResponse(self._rendered(endpoint, name, moment_of(request)))

    async def _put(self, endpoint: str, name: str, body: dict[str, Any], fate: Fate) -> Response:
        rules.check_name("deployment", name)
        shapes.check(body, shapes.DEPLOYMENT)
        rules.check_identity(body.get("identity"))
        compute = endpoints.compute_of(self._endpoint(endpoint))
        properties, registered = self._assets.resolve(
            deployment_settings.complete(body.get("properties") or {}, compute)
        )
        await self._programs.require(properties)
        # nothing waits from here on: what has been checked stays so
        parent = self._endpoint(endpoint)
        endpoints.require_settled(parent)
        old = self._store.get(KIND, _key(endpoint, name))
        if old is None:
            self._quota.check_deployments(sum(1 for _ in self._store.items(KIND, endpoint.lower() + "/")))
        if compute == deployment_settings.KUBERNETES:
            rules.check_names_together(endpoint, name)
        sku = body.get("sku") or {}
        rules.check_tags(body.get("tags") or {})
        resource = {
            "id": f"{parent['resource']['id']}/deployments/{old['resource']['name'] if old else name}",
            "name": old["resource"]["name"] if old else name,
            "type": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments",
            "location": body.get("location") or self._location,
            "tags": body.get("tags") or {},
            "kind": body.get("kind") or parent["resource"]["kind"],
            "identity": body.get("identity"),
            "properties": properties,
            "sku": {**sku, "name": "Default", "capacity": deployment_settings.capacity(sku, properties)},
            "systemData": system_data(old["resource"]["systemData"] if old else None),
        }
        new = {"resource": resource, "registered": registered}
        return self._begin(endpoint, name, old, new, 200 if old else 201, fate)

    def _patch(self, endpoint: str, name: str, body: dict[str, Any], fate: Fate) -> Response:
        old = self._document(endpoint, name)
        shapes.check(body, shapes.DEPLOYMENT_PATCH)
        resource = {**old["resource"], "systemData": system_data(old["resource"]["systemData"])}
        if "tags" in body:
            rules.check_tags(body["tags"] or {})
            resource["tags"] = body["tags"] or {}
        if "identity" in body:
            rules.check_identity(body["identity"])
            resource["identity"] = body["identity"]
        if sku := body.get("sku"):
            before = resource["sku"]["capacity"]
            given = deployment_settings.capacity({"capacity": before, **sku}, resource["properties"])
            resource["sku"] = {**resource["sku"], "capacity": given}
        return self._begin(endpoint, name, old, {"resource": resource, "registered": old.get("registered")}, 202, fate)

    def _begin(
        self, endpoint: str, name: str, old: Document | None, new: Document, status: int, fate: Fate
    ) -> Response:
        resource = new["resource"]
        rules.check_instance_count(resource["sku"]["capacity"])
        self._quota.check_instances(resource)
        others = (found["resource"] for key, found in self._store.items(KIND) if key != _key(endpoint, name))
        self._quota.check_cores(resource, others)
        properties = {**resource["properties"], "provisioningState": "Creating"}
        if old:
            before = {**old["resource"]["properties"], "provisioningState": None}
            same = before == {**properties, "provisioningState": None}
            same = same and old.get("registered") == new.get("registered")
            scaled = same and old["resource"]["sku"] != resource["sku"]
            properties["provisioningState"] = "Scaling" if scaled else "Updating"
        resource = {**resource, "properties": properties}
        document = {**new, "resource": resource, "serving": old.get("serving") if old else None}
        with self._store.transaction():
            self._store.put(KIND, _key(endpoint, name), document)
            headers = self._apply(endpoint, name, _CHANGES[properties["provisioningState"]], fate)
        if status == 202:
            headers.pop("Azure-AsyncOperation")
        return JSONResponse(resource, status, headers)

    def _apply(self, endpoint: str, name: str, change: Change, fate: Fate = NO_FAULT) -> dict[str, str]:
        async def work() -> None:
            document = self._document(endpoint, name)
            if document["serving"] and not self._runtime.runs(endpoint, name):  # we were stopped during the change
                await self._run(endpoint, name, document["serving"])
            resource = document["resource"]
            wanted = {
                "properties": resource["properties"],
                "registered": document.get("registered"),
                "capacity": resource["sku"]["capacity"],
            }
            setup = await self._run(endpoint, name, wanted)
            with self._store.transaction():
                self._store.put(KIND, _key(endpoint, name), {**document, "serving": wanted})
                if change is not Change.DEPLOYMENT_SCALE:
                    parent = self._endpoint(endpoint)
                    endpoints.score_at(parent, setup.program.scored_at)
                    self._store.put(endpoints.KIND, endpoint.lower(), parent)

        settle = functools.partial(self._settle, endpoint, name)
        made = functools.partial(self._rendered, endpoint, name)
        return self._operations.start(_resource(endpoint, name), work, settle, change, made, fate)

    def _delete(self, endpoint: str, name: str, fate: Fate) -> Response:
        document = self._store.get(KIND, _key(endpoint, name))
        if document is None:
            return Response(status_code=204)
        properties = self._endpoint(endpoint)["resource"]["properties"]
        for what, traffic in (("live", properties["traffic"]), ("mirrored", properties["mirrorTraffic"])):
            share = {key.lower(): value for key, value in traffic.items()}.get(name.lower())
            if share:
                raise bad_request(
                    f"The deployment '{name}' has {share}% of the endpoint's {what} traffic and cannot be deleted. Move"
                    " the traffic to other deployments first."
                )

        with self._store.transaction():
            document["resource"]["properties"]["provisioningState"] = "Deleting"
            self._store.put(KIND, _key(endpoint, name), document)
            headers = self._remove(endpoint, name, fate)
        headers.pop("Azure-AsyncOperation")
        return Response(status_code=202, headers=headers)

    def _remove(self, endpoint: str, name: str, fate: Fate = NO_FAULT) -> dict[str, str]:
        async def work() -> None:
            await self._runtime.remove(endpoint, name)
            self._revisions.delete(endpoint, name)
            self._store.delete(KIND, _key(endpoint, name))

        settle = functools.partial(self._settle, endpoint, name)
        return self._operations.start(_resource(endpoint, name), work, settle, Change.DEPLOYMENT_DELETE, fate=fate)

    async def _run(self, endpoint: str, name: str, wanted: dict[str, Any]) -> Setup:
        properties, capacity = wanted["properties"], wanted["capacity"]
        requests = properties["requestSettings"]
        scaling = Scaling.parse(properties)
        limits = Limits(
            request_timeout_ms=round(duration_s(requests["requestTimeout"]) * 1000),
            max_pending=2 * requests["maxConcurrentRequestsPerInstance"] * (scaling.most if scaling else capacity),
        )
        setup = await self._revisions.prepare(endpoint, name, properties, wanted.get("registered") or {})
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
        document = self._document(endpoint, name)
        body = await json_object(request)
        shapes.check(body, shapes.LOGS)
        container = body.get("containerType") or "InferenceServer"
        file = _LOGS.get(str(container).lower())
        if file is None:
            raise bad_request(f"containerType must be StorageInitializer or InferenceServer, not {container!r}.")
        tail = _DEFAULT_TAIL if body.get("tail") is None else body["tail"]
        if isinstance(tail, bool) or not isinstance(tail, int) or tail < 1:
            raise bad_request(f"tail must be a positive integer, not {tail!r}.")
        path = self._revisions.folder(endpoint, name) / file
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        state = document["resource"]["properties"]["provisioningState"]
        head = [f"Instance status: {state}", "", f"Container logs ({container}):"]
        return JSONResponse({"content": "\n".join([*head, *lines[-tail:]]) + "\n"})

    async def _skus(self, request: Request) -> Response:
        self._document(request.path_params["endpoint"], request.path_params["deployment"], moment_of(request))
        capacity = {"default": 1, "minimum": 1, "maximum": self._quota.instances, "scaleType": "Manual"}
        kind = "Microsoft.MachineLearning.Services/endpoints/deployments"
        sku = {"resourceType": kind, "sku": {"name": "Default"}, "capacity": capacity}
        return page(request, [sku], {}, size="count")

    def _endpoint(self, name: str, moment: float | None = None) -> Document:
        document = self._store.get(endpoints.KIND, name.lower(), moment)
        if document is None:
            raise endpoints.missing_endpoint(name, self._scope)
        return document

    def _rendered(self, endpoint: str, name: str, moment: float | None = None) -> Document:
        resource: Document = self._document(endpoint, name, moment)["resource"]
        return resource

    def _document(self, endpoint: str, name: str, moment: float | None = None) -> Document:
        self._endpoint(endpoint, moment)
        document = self._store.get(KIND, _key(endpoint, name), moment)
        if document is None:
            raise not_found(f"The deployment '{name}' was not found in the online endpoint '{endpoint}'.")
        return document

    def _settle(self, endpoint: str, name: str, reason: ArmError | None) -> None:
        if reason:
            log.warning("the deployment %s of %s has failed: %s", name, endpoint, reason)
        if document := self._store.get(KIND, _key(endpoint, name)):
            document["resource"]["properties"]["provisioningState"] = "Failed" if reason else "Succeeded"
            self._store.put(KIND, _key(endpoint, name), document)

    def _is_away(self, key: str, serving: Document) -> bool:
        """Whether the deployment served so before and does not serve now; nobody has deleted it, or begun to."""
        endpoint, _, name = key.partition("/")
        parent, document = self._store.get(endpoints.KIND, endpoint), self._store.get(KIND, key)
        if parent is None or endpoints.is_deleting(parent) or document is None:
            return False
        return document["serving"] == serving and not self._runtime.runs(endpoint, name)

    def _restored(self, key: str, reason: ArmError | None) -> None:
        """A deployment that is back is in the state that it was in; until then it is Failed."""
        document = self._store.get(KIND, key)
        if document and (reason or "was" in document):
            properties = document["resource"]["properties"]
            was = document.pop("was", properties["provisioningState"])
            properties["provisioningState"] = "Failed" if reason else was
            self._store.put(KIND, key, {**document, "was": was} if reason else document)


def _key(endpoint: str, name: str) -> str:
    return f"{endpoint}/{name}".lower()


def _resource(endpoint: str, name: str) -> str:
    return f"onlineEndpoints/{endpoint}/deployments/{name}"
