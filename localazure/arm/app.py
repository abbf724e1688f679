"""The HTTP surface: every route, and what all of them share."""

import logging
import re
import time
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.datastructures import URL
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localazure.arm import errors, ids, versions
from localazure.arm.identity import Identity

log = logging.getLogger(__name__)

WORKSPACE_PATH = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices"
    "/workspaces/{workspace}"
)


FOLLOWED = ("Azure-AsyncOperation", "Location")
"""Headers with addresses that a client follows with no `api-version` but the one that is in them."""


def build(
    scope: ids.Scope, identity: Identity, location: str, open_routes: list[Route], guarded_routes: list[Route]
) -> Starlette:
    """Return the application.

    `guarded_routes` need a token and an `api-version`, and their path must name this local Azure's workspace.
    """

    async def answer_error(_request: Request, error: Exception) -> Response:
        if not isinstance(error, errors.ResponseError):
            raise error
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
    guarded = [_guarded(route, guard) for route in guarded_routes]
    return Starlette(
        routes=[*open_routes, *guarded],
        middleware=[Middleware(_Answers)],
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


def _guarded(route: Route, guard: Callable[[Request], None]) -> Route:
    """Return the route behind the guard. ARM's paths have no case: some clients write `resourcegroups`."""
    endpoint = route.endpoint

    async def handle(request: Request) -> Response:
        guard(request)
        response: Response = await endpoint(request)
        version = request.query_params.get("api-version")
        for name in FOLLOWED:
            if version and name in response.headers:
                response.headers[name] = str(
                    URL(response.headers[name]).include_query_params(**{"api-version": version})
                )
        return response

    guarded = Route(route.path, handle, methods=sorted(route.methods or []))
    guarded.path_regex = re.compile(guarded.path_regex.pattern, re.IGNORECASE)
    return guarded


class _Answers:
    """Adds ARM's request ids to every answer, and writes a line per request to the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        headers = ids.request_headers(Request(scope))

        async def send_with_ids(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in headers.items()),
                ]
                elapsed_ms = (time.monotonic() - started) * 1000
                log.info("%s %s %s %.0f ms", scope["method"], scope["path"], message["status"], elapsed_ms)
            await send(message)

        await self._app(scope, receive, send_with_ids)
