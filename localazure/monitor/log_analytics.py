"""Log Analytics: queries of the traffic log and the event log."""

import datetime
import uuid
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localazure.arm.bodies import json_object
from localazure.arm.errors import ArmError, NotFound, UnsupportedQuery
from localazure.arm.identity import Identity
from localazure.arm.ids import Scope
from localazure.compute.events import Event, Events
from localazure.monitor import kql
from localazure.monitor.times import span
from localazure.monitor.traffic import Request, Traffic, utc_now

TABLE = "AmlOnlineEndpointTrafficLog"
EVENT_TABLE = "AmlOnlineEndpointEventLog"
MAX_ROWS = 30_000
"""As on Azure: a query that finds more is answered with the first of them and an error beside them."""

COLUMNS = {
    "TimeGenerated": "datetime",
    "EndpointName": "string",
    "DeploymentName": "string",
    "Method": "string",
    "Path": "string",
    "Protocol": "string",
    "ResponseCode": "int",
    "ModelStatusCode": "int",
    "TotalDurationMs": "int",
    "ResponseDurationMs": "int",
    "RequestThrottlingDelayMs": "int",
    "ResponseThrottlingDelayMs": "int",
    "RequestPayloadSize": "int",
    "ResponsePayloadSize": "int",
    "XRequestId": "string",
    "XMSClientRequestId": "string",
    "_ResourceId": "string",
}

EVENT_COLUMNS = {
    "TimeGenerated": "datetime",
    "DeploymentName": "string",
    "InstanceId": "string",
    "Name": "string",
    "Message": "string",
    "OperationName": "string",
    "_ResourceId": "string",
}


def workspace_id(scope: Scope) -> str:
    """Return the id of the Log Analytics workspace; the same for as long as the state directory lives."""
    return str(uuid.uuid5(uuid.UUID(scope.subscription_id), "log-analytics"))


class LogAnalytics:
    """Answers queries by workspace id, and by the ARM id of the workspace."""

    def __init__(self, traffic: Traffic, events: Events, identity: Identity, scope: Scope) -> None:
        self._traffic = traffic
        self._events = events
        self._identity = identity
        self._scope = scope

    def open_routes(self) -> list[Route]:
        """Return the page whose path names no subscription; it checks the token itself."""
        return [Route("/v1/workspaces/{workspace_id}/query", self._by_id, methods=["POST"])]

    def routes(self, root: str) -> list[Route]:
        """Return the page of the workspace as a resource; `root` is the workspace's path."""
        return [Route(f"/v1{root}/query", self._by_resource, methods=["POST"])]

    async def _by_id(self, request: HttpRequest) -> Response:
        self._identity.check(request)
        if request.path_params["workspace_id"].lower() != workspace_id(self._scope):
            raise NotFound("The Log Analytics workspace was not found.", "WorkspaceNotFoundError")
        return await self._by_resource(request)

    async def _by_resource(self, request: HttpRequest) -> Response:
        body = await json_object(request)
        now = utc_now()
        if timespan := body.get("timespan"):
            start, end = span(str(timespan))
        else:
            start, end = datetime.datetime.fromtimestamp(0, datetime.UTC), now
        query = str(body.get("query") or "")
        try:
            if query.partition("|")[0].strip() == EVENT_TABLE:
                events = (self._event(event) for event in self._events.between(start, min(end, self._traffic.horizon)))
                columns, found = kql.run(query, EVENT_TABLE, EVENT_COLUMNS, events, now)
            else:
                await self._traffic.recalled()
                rows = (self._row(found) for found in self._traffic.requests(start, end))
                columns, found = kql.run(query, TABLE, COLUMNS, rows, now)
        except UnsupportedQuery as error:
            raise ArmError(400, "BadArgumentError", f"Local Azure cannot run this query: {error}.") from error
        answer: dict[str, Any] = {
            "tables": [
                {
                    "name": "PrimaryResult",
                    "columns": [{"name": name, "type": kind} for name, kind in columns.items()],
                    "rows": [[_cell(row[name]) for name in columns] for row in found[:MAX_ROWS]],
                }
            ]
        }
        if len(found) > MAX_ROWS:
            answer["error"] = {"code": "PartialError", "message": f"The result has more than {MAX_ROWS} rows."}
        return JSONResponse(answer)

    def _event(self, event: Event) -> kql.Row:
        return {
            "TimeGenerated": event.time,
            "DeploymentName": event.deployment,
            "InstanceId": event.instance,
            "Name": event.name,
            "Message": event.message,
            "OperationName": "",
            "_ResourceId": f"{self._scope.id}/onlineEndpoints/{event.endpoint}".lower(),
        }

    def _row(self, request: Request) -> kql.Row:
        return {
            "TimeGenerated": request.time,
            "EndpointName": request.endpoint,
            "DeploymentName": request.deployment,
            "Method": request.method,
            "Path": request.path,
            "Protocol": request.protocol,
            "ResponseCode": request.status,
            "ModelStatusCode": int(request.model_status) if request.model_status.isdigit() else None,
            "TotalDurationMs": int(request.total_ms),
            "ResponseDurationMs": int(request.model_ms),
            "RequestThrottlingDelayMs": request.request_delay_ms,
            "ResponseThrottlingDelayMs": request.response_delay_ms,
            "RequestPayloadSize": request.request_bytes,
            "ResponsePayloadSize": request.response_bytes,
            "XRequestId": request.request_id,
            "XMSClientRequestId": request.client_request_id,
            "_ResourceId": f"{self._scope.id}/onlineEndpoints/{request.endpoint}".lower(),
        }


def _cell(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value
