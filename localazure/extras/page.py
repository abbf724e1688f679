"""A page to look at: what exists now and what goes on. Read-only, without secrets, and without a framework."""

import colorsys
import datetime
import hashlib
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from localazure.arm.faults import Faults
from localazure.arm.ids import Scope
from localazure.arm.operations import Operation, operations_table
from localazure.compute.runtime import Runtime
from localazure.core.clock import Clock
from localazure.core.store import Store
from localazure.monitor.recent import BUCKETS, Recent, recent
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
        now = self._now()
        if request.query_params.get("part") != "now":
            now = _PAGE.replace("WORKSPACE", escape(self._scope.workspace)).replace("NOW", now)
        return HTMLResponse(now, headers=_HEADERS)

    def _now(self) -> str:
        rows = recent(self._traffic)
        found = [self._endpoint(name, state.resource, rows) for name, state in self._endpoints.items()]
        return "\n".join(
            [
                f"<p class=dim>timing {self._clock.timing}, as of {datetime.datetime.now():%H:%M:%S}</p>",
                *(found or ["<p class=empty>There is no endpoint yet.</p>"]),
                self._faults_now(),
                self._operations(),
            ]
        )

    def _endpoint(self, key: str, endpoint: Endpoint, rows: dict[tuple[str, str], Recent]) -> str:
        properties = endpoint.properties
        live = {name.lower(): share for name, share in properties.traffic.items()}
        mirror = {name.lower(): share for name, share in properties.mirror_traffic.items()}
        segments = "".join(
            f'<span style="width:{share}%;background:{_colour(name)}">{escape(name)} {share}%</span>'
            for name, share in properties.traffic.items()
            if share
        )
        lines = [
            self._deployment(key, state.resource, live, mirror, rows)
            for state in self._deployments.values(key_of(key, ""))
        ]
        unrouted = rows.get((key, ""))
        refused = f"<p class=dim>{sum(unrouted.requests)} requests reached no deployment</p>" if unrouted else ""
        return (
            f"<section><h2>{escape(endpoint.name)} {_badge(properties.provisioning_state)}"
            f"{_badge('Outage') if self._runtime.fails(key) else ''}</h2>"
            f"<div class=bar>{segments or '<i>no traffic</i>'}</div>"
            "<table><tr><th>deployment<th>state<th>model<th class=n>instances<th class=n>traffic<th class=n>mirror"
            "<th class=n>requests/s<th class=n>errors<th class=n>p50<th class=n>p95<th>last 5 minutes</tr>"
            f"{''.join(lines)}</table>{refused}</section>"
        )

    def _deployment(
        self,
        endpoint: str,
        deployment: Deployment,
        live: dict[str, int],
        mirror: dict[str, int],
        rows: dict[tuple[str, str], Recent],
    ) -> str:
        name, properties = deployment.name, deployment.properties
        row = rows.get((endpoint, name), Recent())
        ready = self._runtime.instances(endpoint, name)
        cells = [
            f"<td><b style=color:{_colour(name)}>{escape(name)}</b>",
            f"<td>{_badge(properties.provisioning_state)}",
            f"<td>{escape(_model(properties.model))}",
            f"<td class=n>{ready} of {deployment.sku.capacity}",
            f"<td class=n>{live.get(name.lower(), 0)}%",
            f"<td class=n>{mirror.get(name.lower(), 0) or '–'}{'%' if mirror.get(name.lower()) else ''}",
            f"<td class=n>{row.per_second:.1f}",
            f"<td class='n{' bad' if row.error_rate else ''}'>{_percent(row.error_rate)}",
            f"<td class=n>{_ms(row.latency_ms(0.5))}",
            f"<td class=n>{_ms(row.latency_ms(0.95))}",
            f"<td>{_sparkline(row, _colour(name))}",
        ]
        return f"<tr>{''.join(cells)}</tr>"

    def _faults_now(self) -> str:
        lines = "".join(
            f"<tr><td>{fault.spec.kind}<td>{escape(fault.spec.method)}<td>{escape(fault.spec.path)}"
            f"<td class=n>{fault.hits} of {fault.spec.times or 'all'}</tr>"
            for fault in self._faults
        )
        head = "<tr><th>fault<th>method<th>path<th class=n>struck</tr>"
        return f"<section><h2>Faults in force</h2><table>{head}{lines}</table></section>" if lines else ""

    def _operations(self) -> str:
        lines = "".join(_operation(found) for found in self._operations_table.last(OPERATIONS))
        head = "<tr><th>began<th>what<th>resource<th>status<th class=n>took<th>error</tr>"
        return f"<section><h2>Recent operations</h2><table>{head}{lines}</table></section>"


def _operation(operation: Operation) -> str:
    began = datetime.datetime.fromisoformat(operation.start_time)
    ended = operation.end_time
    took = (datetime.datetime.fromisoformat(ended) if ended else datetime.datetime.now(datetime.UTC)) - began
    told = f"{operation.error.code}: {operation.error.message}" if operation.error else ""
    return (
        f"<tr><td>{began.astimezone():%H:%M:%S}<td>{escape(operation.change or '')}"
        f"<td>{escape(operation.resource.replace('onlineendpoints/', '').replace('/deployments/', ' / '))}"
        f"<td>{_badge(operation.status)}<td class=n>{took.total_seconds():.1f} s"
        f"<td class=told title='{escape(told)}'>{escape(told[:200])}</tr>"
    )


def _badge(state: str) -> str:
    kind = {"Succeeded": "ok", "Failed": "bad", "Canceled": "bad", "Outage": "bad"}.get(state, "busy")
    return f"<span class='badge {kind}'>{escape(state)}</span>"


def _colour(name: str) -> str:
    if known := _NAMED.get(name.lower()):
        return known
    hue = hashlib.sha256(name.lower().encode()).digest()[0] / 256
    red, green, blue = (round(part * 255) for part in colorsys.hls_to_rgb(hue, 0.45, 0.55))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _model(arm_id: str | None) -> str:
    parts = (arm_id or "").split("/")
    return f"{parts[-3]}:{parts[-1]}" if len(parts) > 3 else "–"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} ms"


def _sparkline(row: Recent, colour: str) -> str:
    """Return bars of requests, errors in red at their foot."""
    highest = max(*row.requests, 1)
    bars = []
    for place, (requests, errors) in enumerate(zip(row.requests, row.errors, strict=True)):
        for count, fill in ((requests, colour), (errors, "#d33")):
            if count:
                height = max(24 * count / highest, 1)
                bars.append(
                    f'<rect x="{3 * place}" y="{24 - height:.1f}" width=2 height="{height:.1f}" fill="{fill}"/>'
                )
    return f'<svg width="{3 * BUCKETS}" height=24 role=img aria-label="requests">{"".join(bars)}</svg>'


_PAGE = (
    """<!doctype html>
<html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width"><meta name=color-scheme
content="light dark"><title>Local Azure</title>
<style>
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem }
h1 { font-size: 1.4rem; margin: 0 } h2 { font-size: 1.05rem; margin: 0 0 .5rem }
section { border: 1px solid #8884; border-radius: 8px; padding: 1rem; margin: 1rem 0; overflow-x: auto }
table { border-collapse: collapse; width: 100%; margin-top: .6rem }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-top: 1px solid #8883; white-space: nowrap }
th { font-weight: 500; font-size: .8rem; opacity: .7; border: 0 }
.n { text-align: right; font-variant-numeric: tabular-nums }
.bar { display: flex; height: 1.6rem; border-radius: 5px; overflow: hidden; background: #8882 }
.bar span { color: #fff; font-size: .8rem; line-height: 1.6rem; padding-left: .5rem; box-sizing: border-box;
  overflow: hidden; white-space: nowrap; transition: width .5s } .bar i { padding: .1rem .5rem; opacity: .6 }
.badge { font-size: .75rem; font-weight: 500; border-radius: 1rem; padding: .1rem .5rem; background: #8883 }
.badge.ok { background: #2a9d5c33 } .badge.bad { background: #d3333344 } .badge.busy { background: #e0a02055 }
.dim { opacity: .65; margin: .3rem 0 } td.bad { color: #d33; font-weight: 600 }
.told { white-space: normal; font-size: .85rem } svg { border-bottom: 1px solid #8885; vertical-align: bottom }
td:last-child, th:last-child { padding-left: 1rem }
.empty { padding: 2rem; text-align: center }
</style>
<h1>Local Azure: workspace WORKSPACE</h1>
<main id=now>NOW</main>
<script>
const now = document.getElementById("now");
setInterval(async () => {
  try {
    const answer = await fetch("/?part=now");
    if (answer.ok) now.innerHTML = await answer.text();
    now.style.opacity = answer.ok ? 1 : .4;
  } catch { now.style.opacity = .4 }
}, """
    + str(REFRESH_MS)
    + """);
</script>
</html>
"""
)
