"""A page to look at: what exists now and what goes on. Read-only and without secrets."""

import colorsys
import datetime
import hashlib
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from localazure.arm.faults import Faults
from localazure.arm.ids import Scope
from localazure.arm.operations import Operation, operations_table
from localazure.compute.runtime import Runtime
from localazure.core.clock import Clock
from localazure.core.store import Store
from localazure.monitor.recent import Recent, recent
from localazure.monitor.traffic import Traffic
from localazure.resources.deployment_documents import Deployment, deployments_table, key_of
from localazure.resources.endpoint_documents import Endpoint, endpoints_table

OPERATIONS = 15
REFRESH_MS = 2000

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
    " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
}
_NAMED = {"blue": "#2f6fde", "green": "#2a9d5c"}


class Page:
    """The page and the part of it that is fetched again and again."""

    def __init__(
        self, store: Store, runtime: Runtime, traffic: Traffic, faults: Faults, scope: Scope, clock: Clock
    ) -> None:
        self._endpoints = endpoints_table(store)
        self._deployments = deployments_table(store)
        self._operations_table = operations_table(store)
        self._runtime = runtime
        self._traffic = traffic
        self._faults = faults
        self._scope = scope
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return `/`, and `/?part=now` for what changes."""
        return [Route("/", self._answer, methods=["GET"])]

    async def _answer(self, request: Request) -> Response:
        part = "now" if request.query_params.get("part") == "now" else "whole"
        text = _TEMPLATES.get_template(f"{part}.html").render(
            workspace=self._scope.workspace,
            refresh_ms=REFRESH_MS,
            timing=self._clock.timing,
            now=datetime.datetime.now(),
            endpoints=self._all(),
            faults=list(self._faults),
            operations=[_operation(found) for found in self._operations_table.last(OPERATIONS)],
        )
        return HTMLResponse(text, headers=_HEADERS)

    def _all(self) -> list[dict[str, Any]]:
        rows = recent(self._traffic)
        return [self._endpoint(key, state.resource, rows) for key, state in self._endpoints.items()]

    def _endpoint(self, key: str, endpoint: Endpoint, rows: dict[tuple[str, str], Recent]) -> dict[str, Any]:
        properties = endpoint.properties
        live = {name.lower(): share for name, share in properties.traffic.items()}
        mirror = {name.lower(): share for name, share in properties.mirror_traffic.items()}
        return {
            "name": endpoint.name,
            "state": properties.provisioning_state,
            "fails": self._runtime.fails(key),
            "traffic": properties.traffic,
            "deployments": [
                self._deployment(key, state.resource, rows)
                | {
                    "share": live.get(state.resource.name.lower(), 0),
                    "mirror": mirror.get(state.resource.name.lower(), 0),
                }
                for state in self._deployments.values(key_of(key, ""))
            ],
            "unrouted": sum(rows[key, ""].requests) if (key, "") in rows else 0,
        }

    def _deployment(self, endpoint: str, deployment: Deployment, rows: dict[tuple[str, str], Recent]) -> dict[str, Any]:
        return {
            "name": deployment.name,
            "state": deployment.properties.provisioning_state,
            "model": _model(deployment.properties.model),
            "ready": self._runtime.instances(endpoint, deployment.name),
            "instances": deployment.sku.capacity,
            "recent": rows.get((endpoint, deployment.name), Recent()),
        }


def _operation(operation: Operation) -> dict[str, Any]:
    began = datetime.datetime.fromisoformat(operation.start_time)
    ended = operation.end_time
    took = (datetime.datetime.fromisoformat(ended) if ended else datetime.datetime.now(datetime.UTC)) - began
    return {
        "began": began.astimezone(),
        "change": operation.change or "",
        "resource": operation.resource.replace("onlineendpoints/", "").replace("/deployments/", " / "),
        "status": operation.status,
        "took_s": took.total_seconds(),
        "error": f"{operation.error.code}: {operation.error.message}" if operation.error else "",
    }


def _colour(name: str) -> str:
    if known := _NAMED.get(name.lower()):
        return known
    hue = hashlib.sha256(name.lower().encode()).digest()[0] / 256
    red, green, blue = (round(part * 255) for part in colorsys.hls_to_rgb(hue, 0.45, 0.55))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _model(arm_id: str | None) -> str:
    parts = (arm_id or "").split("/")
    return f"{parts[-3]}:{parts[-1]}" if len(parts) > 3 else "–"


_TEMPLATES = Environment(
    loader=PackageLoader("localazure.extras", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["colour"] = _colour
