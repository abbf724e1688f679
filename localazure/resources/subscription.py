"""What is above the workspace, as clients look for it: tenant, subscription, places, resource groups, providers."""

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localazure.arm.errors import NotSupported
from localazure.arm.ids import PROVIDER, Scope
from localazure.arm.versions import MACHINE_LEARNING
from localazure.resources.workspace import Workspace

NAME = "Local Azure"


class Subscription:
    """Read-only: local Azure comes with one tenant, one subscription, one place, one resource group, one workspace."""

    def __init__(self, scope: Scope, tenant_id: str, location: str, workspace: Workspace) -> None:
        self._id = f"/subscriptions/{scope.subscription_id}"
        self._scope = scope
        self._tenant_id = tenant_id
        self._location = location
        self._workspace = workspace

    def routes(self) -> list[Route]:
        """Return all of them."""
        one = "/subscriptions/{subscription}"
        group = one + "/resourceGroups/{group}"
        provider = "/providers/" + PROVIDER
        return [
            Route("/tenants", self._tenants, methods=["GET"]),
            Route("/subscriptions", self._subscriptions, methods=["GET"]),
            Route(one, self._one, methods=["GET"]),
            Route(one + "/locations", self._locations, methods=["GET"]),
            Route(one + provider, self._provider, methods=["GET"]),
            Route(one + provider + "/workspaces", self._workspaces, methods=["GET"]),
            Route(one + "/resourceGroups", self._groups, methods=["GET"]),
            Route(group, self._group, methods=["GET", "HEAD"]),
            Route(group + provider + "/workspaces", self._workspaces, methods=["GET"]),
            Route(one + "/resources", self._resources, methods=["GET"]),
            Route(group + "/resources", self._resources, methods=["GET"]),
        ]

    async def _tenants(self, _request: Request) -> Response:
        return _list(
            {
                "id": f"/tenants/{self._tenant_id}",
                "tenantId": self._tenant_id,
                "displayName": NAME,
                "defaultDomain": "local.localazure",
                "domains": ["local.localazure"],
                "tenantCategory": "Home",
                "tenantType": "AAD",
                "countryCode": "US",
            }
        )

    async def _subscriptions(self, _request: Request) -> Response:
        count = {"type": "Total", "value": 1}
        return JSONResponse({"value": [self._resource()], "count": count})

    async def _one(self, _request: Request) -> Response:
        return JSONResponse(self._resource())

    async def _locations(self, _request: Request) -> Response:
        place = {"id": f"{self._id}/locations/{self._location}", "name": self._location, "type": "Region"}
        names = {"displayName": NAME, "regionalDisplayName": NAME}
        metadata = {
            "regionType": "Physical",
            "regionCategory": "Recommended",
            "geographyGroup": NAME,
            "pairedRegion": [],
        }
        return _list({**place, **names, "metadata": metadata})

    async def _groups(self, request: Request) -> Response:
        if wanted := request.query_params.get("$filter"):
            raise NotSupported(f"the filter {wanted!r} of resource groups")
        return _list(self._group_resource())

    async def _group(self, request: Request) -> Response:
        return Response(status_code=204) if request.method == "HEAD" else JSONResponse(self._group_resource())

    async def _workspaces(self, _request: Request) -> Response:
        return _list(self._workspace.resource())

    async def _resources(self, request: Request) -> Response:
        whole = self._workspace.resource()
        has = {"resourcetype": whole["type"], "resourcegroup": self._scope.resource_group, "name": whole["name"]}
        for term in re.split(r"\s+and\s+", request.query_params.get("$filter") or ""):
            match = re.fullmatch(r"\s*(\w+)\s+eq\s+'([^']*)'\s*", term)
            if term and (match is None or match[1].lower() not in has):
                raise NotSupported(f"the filter {term!r} of resources")
            if match and match[2].lower() != has[match[1].lower()].lower():
                return _list()
        return _list({key: whole[key] for key in ("id", "name", "type", "location", "kind", "sku", "tags", "identity")})

    async def _provider(self, _request: Request) -> Response:
        names = (
            "workspaces",
            "workspaces/onlineEndpoints",
            "workspaces/onlineEndpoints/deployments",
            "locations/usages",
            "locations/vmSizes",
        )
        types = [
            {"resourceType": name, "locations": [self._location], "apiVersions": MACHINE_LEARNING} for name in names
        ]
        return JSONResponse(
            {
                "id": f"{self._id}/providers/{PROVIDER}",
                "namespace": PROVIDER,
                "registrationPolicy": "RegistrationRequired",
                "registrationState": "Registered",
                "resourceTypes": types,
            }
        )

    def _resource(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "subscriptionId": self._scope.subscription_id,
            "tenantId": self._tenant_id,
            "displayName": NAME,
            "state": "Enabled",
            "authorizationSource": "RoleBased",
            "managedByTenants": [],
            "subscriptionPolicies": {
                "locationPlacementId": "Public_2014-09-01",
                "quotaId": "PayAsYouGo_2014-09-01",
                "spendingLimit": "Off",
            },
        }

    def _group_resource(self) -> dict[str, Any]:
        return {
            "id": f"{self._id}/resourceGroups/{self._scope.resource_group}",
            "name": self._scope.resource_group,
            "type": "Microsoft.Resources/resourceGroups",
            "location": self._location,
            "tags": {},
            "properties": {"provisioningState": "Succeeded"},
        }


def _list(*resources: dict[str, Any]) -> Response:
    return JSONResponse({"value": list(resources)})
