"""Request bodies."""

import json
from typing import Any

from starlette.requests import Request

from localazure.arm.errors import ArmError, BadRequest

MAX_BODY_BYTES = 4 * 1024 * 1024


async def content(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """Return the request's body.

    Raises:
        ArmError: 413 for a body of more than `limit` bytes.
    """
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > limit:
            raise ArmError(413, "RequestEntityTooLarge", f"The request body is larger than {limit} bytes.")
    return bytes(received)


async def json_object(request: Request) -> dict[str, Any]:
    """Return the request's body.

    Raises:
        BadRequest: It is not a JSON object.
        ArmError: 413 where it is too large.
    """
    received = await content(request)
    try:
        body = json.loads(received or b"{}", strict=False)  # Azure takes strings with raw newlines in them, too
    except ValueError as error:
        raise BadRequest(f"The request body is not valid JSON: {error}", "InvalidRequestContent") from error
    except RecursionError as error:
        raise BadRequest("The request body is nested too deeply.", "InvalidRequestContent") from error
    if not isinstance(body, dict):
        raise BadRequest("The request body must be a JSON object.", "InvalidRequestContent")
    return body
