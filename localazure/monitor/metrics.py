"""Azure Monitor's metrics: the resource's own page, and the data plane's batch page."""

import collections
import datetime
import math
import re
from typing import Any, NamedTuple, Protocol

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localazure.arm.bodies import json_object
from localazure.arm.errors import BadRequest, NotFound
from localazure.arm.faults import moment_of
from localazure.arm.ids import Scope
from localazure.monitor.samples import CONNECTIONS, Samples
from localazure.monitor.times import MINUTE, iso, span
from localazure.monitor.traffic import Request, Traffic, utc_now

MAX_RESOURCES = 50

_ENDPOINT_TYPE = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints"
_DEPLOYMENT_TYPE = _ENDPOINT_TYPE + "/deployments"


class Metric(NamedTuple):
    """What a metric counts in, and by what it can be split."""

    unit: str
    dimensions: tuple[str, ...] = ()


_ENDPOINT = {
    "RequestsPerMinute": Metric("Count", ("deployment", "statusCode", "statusCodeClass", "modelStatusCode")),
    "RequestLatency": Metric("MilliSeconds", ("deployment",)),
    "RequestLatency_P50": Metric("MilliSeconds", ("deployment",)),
    "RequestLatency_P90": Metric("MilliSeconds", ("deployment",)),
    "RequestLatency_P95": Metric("MilliSeconds", ("deployment",)),
    "RequestLatency_P99": Metric("MilliSeconds", ("deployment",)),
    "NetworkBytes": Metric("BytesPerSecond"),
    "ConnectionsActive": Metric("Count"),
    "NewConnectionsPerSecond": Metric("CountPerSecond"),
}
_DEPLOYMENT = {
    "DeploymentCapacity": Metric("Count"),
    "CpuUtilizationPercentage": Metric("Percent", ("instanceId",)),
    "CpuMemoryUtilizationPercentage": Metric("Percent", ("instanceId",)),
    "DiskUtilization": Metric("Percent", ("instanceId",)),
}
_DEFAULT_AGGREGATION = "Average"
"""What Azure takes for all of these when none is asked for."""
_AGGREGATIONS = ("average", "count", "maximum", "minimum", "total")

Point = dict[str, float]
Series = dict[tuple[str, ...], dict[datetime.datetime, Point]]
"""By the values of the dimensions that were asked for, and by minute."""


class Inventory(Protocol):
    """Answers what exists, now or at a moment of `time.monotonic`."""

    def has_endpoint(self, name: str, moment: float | None) -> bool:
        """Whether there is such an endpoint."""

    def capacity(self, endpoint: str, deployment: str, moment: float | None) -> int | None:
        """Return how many instances the deployment shall have; None where there is no such deployment."""


class Metrics:
    """Answers metric queries with one value a minute. A minute without data has no value: a gap is not a zero."""

    def __init__(self, traffic: Traffic, samples: Samples, inventory: Inventory, scope: Scope, location: str) -> None:
        self._traffic = traffic
        self._samples = samples
        self._inventory = inventory
        self._scope = scope
        self._location = location

    def routes(self, root: str) -> list[Route]:
        """Return the pages of endpoints and deployments (under the workspace's path), and the batch page."""
        metrics = "/providers/Microsoft.Insights/metrics"
        one = root + "/onlineEndpoints/{endpoint}"
        return [
            Route(one + metrics, self._one, methods=["GET"]),
            Route(one + "/deployments/{deployment}" + metrics, self._one, methods=["GET"]),
            Route("/subscriptions/{subscription}/metrics:getBatch", self._batch, methods=["POST"]),
        ]

    async def _one(self, request: HttpRequest) -> Response:
        query = request.query_params
        start, end = span(query.get("timespan"))
        await self._traffic.recalled()
        resource = re.split("/providers/Microsoft.Insights", request.url.path, maxsplit=1, flags=re.IGNORECASE)[0]
        values = self._values(resource, dict(query), query.get("$filter"), start, end, moment_of(request))
        body = {"timespan": f"{iso(start)}/{iso(end)}", "cost": 0, "interval": "PT1M"}
        body |= {"namespace": _namespace(resource), "resourceregion": self._location, "value": values}
        return JSONResponse(body)

    async def _batch(self, request: HttpRequest) -> Response:
        query = dict(request.query_params)
        resources = (await json_object(request)).get("resourceids")
        if not isinstance(resources, list) or not 1 <= len(resources) <= MAX_RESOURCES:
            raise BadRequest(f"resourceids must be a list of 1 to {MAX_RESOURCES} resource ids.")
        given = "/".join(query[key] for key in ("starttime", "endtime") if key in query)
        start, end = span(given if "/" in given else f"{given}/{iso(utc_now())}" if given else None)
        await self._traffic.recalled()
        answers = []
        for resource in map(str, resources):
            namespace = _namespace(resource)
            if query.get("metricnamespace", namespace).lower() != namespace.lower():
                raise BadRequest(f"The metric namespace of {resource} is {namespace}.")
            answers.append(
                {
                    "starttime": iso(start),
                    "endtime": iso(end),
                    "interval": "PT1M",
                    "namespace": namespace,
                    "resourceregion": self._location,
                    "resourceid": resource,
                    "value": self._values(resource, query, query.get("filter"), start, end),
                }
            )
        return JSONResponse({"values": answers})

    def _values(
        self,
        resource: str,
        query: dict[str, str],
        conditions: str | None,
        start: datetime.datetime,
        end: datetime.datetime,
        moment: float | None = None,
    ) -> list[dict[str, Any]]:
        for option in ("rollupby", "resultType", "orderby"):
            if query.get(option, "Data").lower() != "data":
                raise BadRequest(f"Local Azure does not support {option} in metric queries.")
        if query.get("interval", "PT1M") not in ("PT1M", "PT60S"):
            raise BadRequest("Local Azure supports the interval PT1M only.")
        name, deployment = self._resource(resource, moment)
        known = _DEPLOYMENT if deployment else _ENDPOINT
        wanted = [part.strip() for part in (query.get("metricnames") or next(iter(known))).split(",")]
        lookup = {metric.lower(): metric for metric in known}
        for metric in wanted:
            if metric.lower() not in lookup:
                raise BadRequest(
                    f"Failed to find metric configuration for {metric}. Valid metrics: {', '.join(known)}."
                )
        requests = [] if deployment else list(self._traffic.requests(start, end, name))
        answers: list[dict[str, Any]] = []
        for metric in (lookup[metric.lower()] for metric in wanted):
            unit, dimensions = known[metric]
            chosen = [part.strip().lower() for part in (query.get("aggregation") or _DEFAULT_AGGREGATION).split(",")]
            if unknown := [part for part in chosen if part not in _AGGREGATIONS]:
                raise BadRequest(f"The aggregation must be among {', '.join(_AGGREGATIONS)}, not {unknown[0]}.")
            filters = parse_filter(conditions, dimensions)
            if deployment:
                series = self._of_deployment(metric, name, deployment, filters, start, end, moment)
            elif metric in CONNECTIONS:
                minutes = _minutes(start, min(end, self._traffic.horizon))
                seen = {minute: self._samples.connections(metric, minute) for minute in minutes}
                series = {(): {minute: _point(values) for minute, values in seen.items() if values}}
            else:
                series = _of_requests(metric, requests, filters)
            answers.append(
                {
                    "id": f"{resource}/providers/Microsoft.Insights/metrics/{metric}",
                    "type": "Microsoft.Insights/metrics",
                    "name": {"value": metric, "localizedValue": metric},
                    "displayDescription": metric,
                    "unit": unit,
                    "errorCode": "Success",
                    "timeseries": [
                        {
                            "metadatavalues": [
                                {"name": {"value": key, "localizedValue": key}, "value": value}
                                for key, value in zip(filters, labels, strict=True)
                            ],
                            "data": [
                                {"timeStamp": iso(minute), **{key: points[minute][key] for key in chosen}}
                                if minute in points
                                else {"timeStamp": iso(minute)}
                                for minute in _minutes(start, end)
                            ],
                        }
                        for labels, points in sorted(series.items())
                    ],
                }
            )
        return answers

    def _of_deployment(
        self,
        metric: str,
        endpoint: str,
        deployment: str,
        filters: dict[str, set[str]],
        start: datetime.datetime,
        end: datetime.datetime,
        moment: float | None,
    ) -> Series:
        minutes = _minutes(start, min(end, self._traffic.horizon))
        if metric == "DeploymentCapacity":
            count = self._inventory.capacity(endpoint, deployment, moment) or 0
            return {(): {minute: _point([count]) for minute in minutes}}
        found: dict[tuple[str, ...], dict[datetime.datetime, list[float]]] = {}
        for minute in minutes:
            for instance, values in self._samples.use(metric, endpoint, deployment, minute).items():
                labels = (instance,) if filters else ()
                if _wanted(labels, filters):
                    found.setdefault(labels, {}).setdefault(minute, []).extend(values)
        return {labels: {minute: _point(values) for minute, values in seen.items()} for labels, seen in found.items()}

    def _resource(self, resource: str, moment: float | None) -> tuple[str, str]:
        """Return the endpoint's and the deployment's name in lower case; the latter is empty for an endpoint.

        Raises:
            NotFound: There is no such resource.
        """
        pattern = re.escape(self._scope.id) + r"/onlineEndpoints/([^/]+)(?:/deployments/([^/]+))?"
        match = re.fullmatch(pattern, "/" + resource.strip("/"), re.IGNORECASE)
        if match is None:
            raise NotFound(f"There is no resource '{resource}' that has metrics.")
        endpoint, deployment = match[1].lower(), (match[2] or "").lower()
        exists = (
            self._inventory.capacity(endpoint, deployment, moment) is not None
            if deployment
            else self._inventory.has_endpoint(endpoint, moment)
        )
        if not exists:
            raise NotFound(f"The resource '{resource}' was not found.")
        return endpoint, deployment


def parse_filter(text: str | None, dimensions: tuple[str, ...]) -> dict[str, set[str]]:
    """Return `a eq '1' and b eq '*'` as {dimension: values}; `or` joins values of one dimension.

    Raises:
        BadRequest: It is not such a filter.
    """
    found: dict[str, set[str]] = {}
    names = {name.lower(): name for name in dimensions}
    for group in re.split(r"\s+and\s+", (text or "").strip(), flags=re.IGNORECASE):
        group_names = set()
        for term in re.split(r"\s+or\s+", group, flags=re.IGNORECASE) if group else ():
            match = re.fullmatch(r"\(?\s*(\w+)\s+eq\s+'([^']*)'\s*\)?", term.strip(), re.IGNORECASE)
            if match is None or match[1].lower() not in names:
                raise BadRequest(
                    f"The filter {term!r} is not supported; dimensions: {', '.join(dimensions) or 'none'}."
                )
            name = names[match[1].lower()]
            group_names.add(name)
            found.setdefault(name, set()).add(match[2])
        if len(group_names) > 1:
            raise BadRequest("'or' cannot join conditions on different dimensions.")
    return found


def percentile(ordered: list[float], share: float) -> float:
    """Return the nearest-rank percentile of sorted values, `share` in (0, 1]."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _of_requests(metric: str, requests: list[Request], filters: dict[str, set[str]]) -> Series:
    grouped: dict[tuple[str, ...], dict[datetime.datetime, list[Request]]] = {}
    for request in requests:
        labels = tuple(_dimension(request, name) for name in filters)
        if _wanted(labels, filters):
            minute = request.time.replace(second=0, microsecond=0)
            grouped.setdefault(labels, collections.defaultdict(list))[minute].append(request)
    return {
        labels: {minute: _measure(metric, found) for minute, found in minutes.items()}
        for labels, minutes in grouped.items()
    }


def _wanted(labels: tuple[str, ...], filters: dict[str, set[str]]) -> bool:
    """Return whether the filters take the series with these values of their dimensions."""
    pairs = zip(labels, filters.values(), strict=True)
    return all("*" in values or label.lower() in {value.lower() for value in values} for label, values in pairs)


def _measure(metric: str, requests: list[Request]) -> Point:
    if metric == "RequestsPerMinute":
        return {**_point([len(requests)]), "count": len(requests)}
    if metric == "NetworkBytes":
        return _point([sum(request.request_bytes + request.response_bytes for request in requests) / 60])
    latencies = sorted(request.total_ms for request in requests)
    _, _, share = metric.partition("_P")
    return _point([percentile(latencies, int(share) / 100)] if share else latencies)


def _point(values: list[float] | list[int]) -> Point:
    total = float(sum(values))
    extremes = {"minimum": float(min(values)), "maximum": float(max(values))}
    return {"average": total / len(values), "count": float(len(values)), "total": total, **extremes}


def _dimension(request: Request, name: str) -> str:
    match name:
        case "deployment":
            return request.deployment
        case "statusCode":
            return str(request.status)
        case "statusCodeClass":
            return f"{request.status // 100}xx"
    return request.model_status


def _minutes(start: datetime.datetime, end: datetime.datetime) -> list[datetime.datetime]:
    first = start.astimezone(datetime.UTC).replace(second=0, microsecond=0)
    return [first + n * MINUTE for n in range(math.ceil((end - first) / MINUTE))] if end > first else []


def _namespace(resource: str) -> str:
    return _DEPLOYMENT_TYPE if "/deployments/" in resource.lower() else _ENDPOINT_TYPE
