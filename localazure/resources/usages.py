"""What a subscription may use in a region, and uses: VM sizes, and the cores of their families."""

from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localazure.arm.errors import BadRequest
from localazure.arm.ids import PROVIDER, Scope
from localazure.core.store import Store
from localazure.resources.deployment_documents import deployments_table
from localazure.resources.quota import Quota, cores, cores_of

NO_LIMIT = -1

_FAMILIES = {
    "standardDSv2Family": ("Standard_DS{}_v2", (1, 2, 3, 4, 5)),
    "standardDSv3Family": ("Standard_D{}s_v3", (2, 4, 8, 16, 32, 48, 64)),
    "standardDAv4Family": ("Standard_D{}a_v4", (2, 4, 8, 16, 32, 48, 64, 96)),
    "standardDASv4Family": ("Standard_D{}as_v4", (2, 4, 8, 16, 32, 48, 64, 96)),
    "standardESv3Family": ("Standard_E{}s_v3", (2, 4, 8, 16, 32, 48, 64)),
    "standardFSv2Family": ("Standard_F{}s_v2", (2, 4, 8, 16, 32, 48, 64, 72)),
    "standardNCSv3Family": ("Standard_NC{}s_v3", (6, 12, 24)),
    "Standard NCASv3_T4 Family": ("Standard_NC{}as_T4_v3", (4, 8, 16, 64)),
    "StandardNCADSA100v4Family": ("Standard_NC{}ads_A100_v4", (24, 48, 96)),
}
"""Families of VM sizes that managed endpoints are often given; deployments may have others, which are not listed."""

FAMILY_OF = {form.format(number).lower(): family for family, (form, numbers) in _FAMILIES.items() for number in numbers}
"""The family of each VM size, by its name in small letters."""


class Usages:
    """Read-only: the quota's `cores` are one number for all families, so each may have what the others leave."""

    def __init__(self, store: Store, quota: Quota, scope: Scope, location: str) -> None:
        self._deployments = deployments_table(store)
        self._quota = quota
        self._root = f"{scope.subscription_provider_id}/locations/{location}"
        self._location = location

    def routes(self) -> list[Route]:
        """Return the routes of the list of VM sizes and of the list of usages."""
        place = "/subscriptions/{subscription}/providers/" + PROVIDER + "/locations/{location}"
        return [
            Route(place + "/usages", self._usages, methods=["GET"]),
            Route(place + "/vmSizes", self._sizes, methods=["GET"]),
        ]

    async def _usages(self, request: Request) -> Response:
        self._check_location(request)
        used: Counter[str] = Counter()
        for found in self._deployments.values(""):
            size = found.resource.size
            if taken := cores(size):
                used[FAMILY_OF.get(size.instance_type.lower(), "")] += taken
        return JSONResponse({"value": [self._usage(family, used) for family in _FAMILIES]})

    async def _sizes(self, request: Request) -> Response:
        self._check_location(request)
        sizes = [
            _size(form.format(number), family) for family, (form, numbers) in _FAMILIES.items() for number in numbers
        ]
        return JSONResponse({"value": sizes})

    def _usage(self, family: str, used: Counter[str]) -> dict[str, Any]:
        others = used.total() - used[family]
        return {
            "id": f"{self._root}/usages/{family}",
            "type": f"{PROVIDER}/usages",
            "unit": "Count",
            "currentValue": used[family],
            "limit": max(0, self._quota.cores - others) if self._quota.cores else NO_LIMIT,
            "name": {"value": family, "localizedValue": f"{family} Cluster Dedicated vCPUs"},
        }

    def _check_location(self, request: Request) -> None:
        """Check that the request is about the one place that there is.

        Raises:
            BadRequest: It is about another one.
        """
        if (given := request.path_params["location"]).lower() != self._location.lower():
            raise BadRequest(
                f"No registered resource provider found for location '{given}'."
                f" The supported locations are '{self._location}'.",
                "NoRegisteredProviderFound",
            )


def _size(name: str, family: str) -> dict[str, Any]:
    return {"name": name, "family": family, "vCPUs": cores_of(name), "supportedComputeTypes": ["AmlCompute"]}
