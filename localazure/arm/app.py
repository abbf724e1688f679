"""The HTTP surface: every route, and what all of them share."""

import logging
import re
import time
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localazure.arm import errors, ids, versions
from localazure.arm.headers import Answered, Asked, Server, answer_headers
from localazure.arm.identity import Identity
from localazure.arm.limits import RateLimits
from localazure.arm.read_only import require_read_only_kept

log = logging.getLogger(__name__)

WORKSPACE_PATH = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices"
    "/workspaces/{workspace}"
)


def build(
    scope: ids.Scope,
    identity: Identity,
    location: str,
    open_routes: list[Route],
    guarded_routes: list[Route],
    limits: RateLimits | None = None,
    strict: bool = False,
) -> Starlette:
    """Return the application.

    `guarded_routes` need a token and an `api-version`, count against the rate limits, and their path must name this
    local Azure's workspace. If `strict`, they refuse read-only properties that differ from what is held.
    """

    async def answer_error(request: Request, error: Exception) -> Response:
        if not isinstance(error, errors.ResponseError):
            raise error
        if _is_by_service(request.scope) and isinstance(error, errors.ArmError):
            return error.service_response(location)
        return error.response()

    async def answer_http_error(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        what = f"{request.method} {request.url.path}"
        if error.status_code in (404, 405):
            return errors.NotSupported(what).response()  # never a silent success, and never a 404 that means "gone"
        return errors.ArmError(error.status_code, "RequestFailed", f"{what}: {error.detail}").response()

    async def answer_nobody(_request: Request, _error: Exception) -> Response:
        """Return an answer for a client that is gone before it had sent the whole request."""
        return errors.BadRequest("The request ended before its end.").response()

    async def answer_failure(_request: Request, error: Exception) -> Response:
        return errors.ArmError(
            500, "InternalServerError", f"Local Azure failed: {type(error).__name__}: {error}"
        ).response()

    guard = _guard(scope, identity, location)
    guarded = [_guarded(route, guard, limits, strict) for route in guarded_routes]
    return Starlette(
        routes=[*open_routes, *guarded],
        middleware=[Middleware(_Answers, _server(scope, identity, location))],
        exception_handlers={
            errors.ResponseError: answer_error,
            HTTPException: answer_http_error,
            ClientDisconnect: answer_nobody,
            Exception: answer_failure,
        },
    )


def _guard(scope: ids.Scope, identity: Identity, location: str) -> Callable[[Request], None]:
    def check(request: Request) -> None:
        versions.require(request)
        identity.check(request)
        path = request.path_params
        if path.get("subscription", scope.subscription_id).lower() != scope.subscription_id.lower():
            raise errors.NotFound(
                f"The subscription '{path['subscription']}' could not be found.", "SubscriptionNotFound"
            )
        if path.get("group", scope.resource_group).lower() != scope.resource_group.lower():
            raise errors.NotFound(f"Resource group '{path['group']}' could not be found.", "ResourceGroupNotFound")
        if path.get("workspace", scope.workspace).lower() != scope.workspace.lower():
            raise errors.NotFound(
                f"The Resource 'Microsoft.MachineLearningServices/workspaces/{path['workspace']}' under resource group"
                f" '{path['group']}' was not found."
            )
        versions.check(request, location)

    return check


def _guarded(route: Route, guard: Callable[[Request], None], limits: RateLimits | None, strict: bool) -> Route:
    """Return the route behind the guard. ARM's paths have no case: some clients write `resourcegroups`."""
    endpoint = route.endpoint
    readable = "GET" in (route.methods or ())

    async def handle(request: Request) -> Response:
        guard(request)
        request.state.limits = limits.take(request) if limits else {}
        request.state.by_service = _is_for_service(request.url.path.lower())
        if strict and readable and request.method in ("PUT", "PATCH"):
            request = await require_read_only_kept(request, endpoint)
        response: Response = await endpoint(request)
        return response

    guarded = Route(route.path, handle, methods=sorted(route.methods or []))
    guarded.path_regex = re.compile(guarded.path_regex.pattern, re.IGNORECASE)
    return guarded


def _is_for_service(path: str) -> bool:
    return f"/providers/{ids.PROVIDER}/".lower() in path and "/microsoft.insights/" not in path and "/v1/" not in path


def _is_by_service(scope: Scope) -> bool:
    """Return whether the service answers the request; else ARM itself does, or Azure Monitor."""
    return bool(scope.get("state", {}).get("by_service"))


def _server(scope: ids.Scope, identity: Identity, location: str) -> Server:
    application = scope.guid_of("application")
    return Server(location, identity.tenant_id, identity.client_id, application)


class _Answers:
    """Adds the headers of every management answer, and writes a line per request to the log."""

    def __init__(self, app: ASGIApp, server: Server) -> None:
        self._app = app
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        request = Request(scope)
        asked = Asked(scope["method"], scope["path"], dict(request.headers))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                elapsed_s = time.monotonic() - started
                here = MutableHeaders(raw=message["headers"])
                answered = Answered(
                    message["status"], int(here.get("content-length", "0")), _is_by_service(scope), elapsed_s
                )
                here.update(answer_headers(asked, answered, self._server))
                here.update(scope.get("state", {}).get("limits", {}))
                if here.get("content-type") == "application/json" and asked.is_management:
                    here["content-type"] = "application/json; charset=utf-8"
                message["headers"] = here.raw
                log.info("%s %s %s %.0f ms", asked.method, asked.path, message["status"], elapsed_s * 1000)
            await send(message)

        await self._app(scope, receive, send_with_headers)
