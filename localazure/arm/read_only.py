"""What a client may not write: with `--strict`, a body in which it differs from what local Azure holds is refused.

Without it such values are dropped. What Azure does with them is in no recording: a client had better not send them.
"""

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from localazure.arm.bodies import content, json_object
from localazure.arm.documents import Json
from localazure.arm.errors import BadRequest, NotFound

READ_ONLY = (
    "id",
    "name",
    "type",
    "systemData",
    "identity.principalId",
    "identity.tenantId",
    "identity.userAssignedIdentities.*.principalId",
    "identity.userAssignedIdentities.*.clientId",
    "properties.provisioningState",
    "properties.scoringUri",
    "properties.swaggerUri",
    "properties.latestVersion",
    "properties.nextVersion",
)
"""Azure ML's REST specification (`readOnly`): endpoints, deployments, assets. `*` is any name."""

Handler = Callable[[Request], Awaitable[Response]]


async def require_read_only_kept(request: Request, handle: Handler) -> Request:
    """Check the body of a PUT or PATCH against what `handle` answers to a GET of the same.

    Returns:
        The request, whose body can be read again.

    Raises:
        BadRequest: A read-only property has another value than the resource.
    """
    body = await content(request)
    given = await json_object(_replay(request, "PUT", body))
    try:
        response = await handle(_replay(request, "GET"))
        held = json.loads(bytes(response.body))
    except NotFound:
        held = _new(request.url.path)
    for path in READ_ONLY:
        for name, value, kept in _values(given, held, path.split(".")):
            if not _agrees(value, kept):
                raise BadRequest(f"'{name}' is read-only: it is {kept!r}, and cannot be {value!r} (--strict).")
    return _replay(request, request.method, body)


def _replay(request: Request, method: str, body: bytes = b"") -> Request:
    """Return the request with this method and this body."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({**request.scope, "method": method}, receive)


def _new(path: str) -> Json:
    """Return what is known of a resource before it is there."""
    provider, *parts = unquote(path).partition("/providers/")[2].split("/")
    return {"id": unquote(path), "name": parts[-1], "type": "/".join([provider, *parts[::2]])}


def _values(given: Any, held: Any, path: list[str], before: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield what was given at a path, each with its place and with what is held there."""
    if not isinstance(given, dict):
        return
    here, *rest = path
    for name in given if here == "*" else [here]:
        value, kept = given.get(name), held.get(name) if isinstance(held, dict) else None
        if rest:
            yield from _values(value, kept, rest, f"{before}{name}.")
        elif value is not None:
            yield before + name, value, kept


def _agrees(given: Any, held: Any) -> bool:
    """Return whether the value says nothing else than what is held. Names and ids compare without regard to case."""
    if isinstance(given, dict) and isinstance(held, dict):
        return all(value is None or _agrees(value, held.get(name)) for name, value in given.items())
    if isinstance(given, str) and isinstance(held, str):
        return given.lower() == held.lower()
    return bool(given == held)
