"""Azure Monitor's autoscale settings: kept and shown. Nothing here scales by them; Kubernetes' own settings do."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localazure.arm.bodies import json_object
from localazure.arm.errors import BadRequest, NotFound
from localazure.arm.ids import Scope
from localazure.core.store import Store

KIND = "autoscale setting"


class AutoscaleSettings:
    """The settings of the one resource group."""

    def __init__(self, store: Store, scope: Scope, location: str) -> None:
        self._store = store
        self._location = location
        self._ids = (
            f"/subscriptions/{scope.subscription_id}/resourceGroups/{scope.resource_group}"
            "/providers/microsoft.insights/autoscalesettings/"
        )

    def routes(self) -> list[Route]:
        """Return the list and the single setting."""
        path = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Insights/autoscaleSettings"
        return [
            Route(path, self._list, methods=["GET"]),
            Route(path + "/{setting}", self._get, methods=["GET"]),
            Route(path + "/{setting}", self._put, methods=["PUT"]),
            Route(path + "/{setting}", self._delete, methods=["DELETE"]),
        ]

    async def _list(self, _request: Request) -> Response:
        return JSONResponse({"value": [document for _, document in self._store.items(KIND)]})

    async def _get(self, request: Request) -> Response:
        name = request.path_params["setting"]
        if (document := self._store.get(KIND, name.lower())) is None:
            raise NotFound(f"The autoscale setting '{name}' was not found.")
        return JSONResponse(document)

    async def _put(self, request: Request) -> Response:
        name = request.path_params["setting"]
        given = await json_object(request)
        properties = _checked(given.get("properties"))
        before = self._store.get(KIND, name.lower())
        document = {
            "id": self._ids + name,
            "name": name,
            "type": "Microsoft.Insights/autoscaleSettings",
            "location": given.get("location") or self._location,
            "tags": given.get("tags") or {},
            "properties": {"enabled": False, "name": name, "notifications": []} | properties,
        }
        self._store.put(KIND, name.lower(), document)
        return JSONResponse(document, 200 if before else 201)

    async def _delete(self, request: Request) -> Response:
        name = request.path_params["setting"].lower()
        there = self._store.get(KIND, name) is not None
        self._store.delete(KIND, name)
        return Response(status_code=200 if there else 204)


def _checked(properties: Any) -> dict[str, Any]:
    """Return the properties.

    Raises:
        BadRequest: They are not those of an autoscale setting.
    """
    if not isinstance(properties, dict):
        raise BadRequest("The autoscale setting needs properties.")
    profiles = properties.get("profiles")
    if not isinstance(profiles, list) or not 1 <= len(profiles) <= 20:
        raise BadRequest("The autoscale setting needs 1 to 20 profiles.")
    if not isinstance(properties.get("enabled", False), bool):
        raise BadRequest("'enabled' must be true or false.")
    return properties
