"""A page to look at: what exists now and what goes on. Read-only and without secrets."""

from __future__ import annotations

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
from localazure.compute.runtime import Runtime
from localazure.core.clock import Clock
from localazure.core.store import Document, Store
from localazure.monitor.recent import Recent, recent
from localazure.monitor.traffic import Traffic
from localazure.resources import deployments, endpoints

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
        self._store = store
        self._runtime = runtime
        self._traffic = traffic
        self._faults = faults
        self._scope = scope
        self._clock = clock

    def routes(self) -> list[Route]:
        """`/`, and `/?part=now` for what changes."""
        return [Route("/", self._answer, methods=["GET"])]

    async def _answer(self, request: Request) -> Response:
        part = "now" if request.query_params.get("part") == "now" else "whole"
        text = _TEMPLATES.get_template(f"{part}.html").render(
            workspace=self._scope.workspace, refresh_ms=REFRESH_MS, timing=self._clock.timing,
            now=datetime.datetime.now(), endpoints=self._endpoints(), faults=list(self._faults),
            operations=[_operation(found) for found in self._store.last("operation", OPERATIONS)],
        )  # fmt: skip
        return HTMLResponse(text, headers=_HEADERS)

    def _endpoints(self) -> list[dict[str, Any]]:
        rows = recent(self._traffic)
        return [self._endpoint(key, document, rows) for key, document in self._store.items(endpoints.KIND)]

    def _endpoint(self, key: str, document: Document, rows: dict[tuple[str, str], Recent]) -> dict[str, Any]:
        resource = document["resource"]
        properties = resource["properties"]
        shares = {name.lower(): share for name, share in properties["traffic"].items()}
        mirror = {name.lower(): share for name, share in properties["mirrorTraffic"].items()}
        found = []
        for _, deployment in self._store.items(deployments.KIND, key + "/"):
            known = self._deployment(key, deployment["resource"], rows)
            name = known["name"].lower()
            found.append(known | {"share": shares.get(name, 0), "mirror": mirror.get(name, 0)})
        return {
            "name": resource["name"],
            "state": properties["provisioningState"],
            "fails": self._runtime.fails(key),
            "traffic": properties["traffic"],
            "deployments": found,
            "unrouted": sum(rows[key, ""].requests) if (key, "") in rows else 0,
        }

    def _deployment(
        self, endpoint: str, resource: dict[str, Any], rows: dict[tuple[str, str], Recent]
    ) -> dict[str, Any]:
        name = resource["name"]
        return {
            "name": name,
            "state": resource["properties"]["provisioningState"],
            "model": _model(resource["properties"].get("model")),
            "ready": self._runtime.instances(endpoint, name),
            "instances": resource["sku"]["capacity"],
            "recent": rows.get((endpoint, name), Recent()),
        }


def _operation(document: Document) -> dict[str, Any]:
    began = datetime.datetime.fromisoformat(document["startTime"])
    ended = document.get("endTime")
    took = (datetime.datetime.fromisoformat(ended) if ended else datetime.datetime.now(datetime.UTC)) - began
    error: dict[str, Any] = document.get("error") or {}
    return {
        "began": began.astimezone(),
        "change": document.get("change") or "",
        "resource": document.get("resource", "").replace("onlineendpoints/", "").replace("/deployments/", " / "),
        "status": document["status"],
        "took_s": took.total_seconds(),
        "error": f"{error['code']}: {error['message']}" if error else "",
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
    loader=PackageLoader("localazure.extras", "templates"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip
_TEMPLATES.filters["colour"] = _colour
