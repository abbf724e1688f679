"""Request bodies."""

import json
import math
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


def _finite(text: str) -> float:
    """Return the number.

    Raises:
        ValueError: It is infinite, or not a number: Python would read it, and JSON cannot say it.
    """
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a number of JSON")
    return number


async def json_object(request: Request) -> dict[str, Any]:
    """Return the request's body.

    Raises:
        BadRequest: It is not a JSON object.
        ArmError: 413 where it is too large.
    """
    received = await content(request)
    try:
        # not strict: Azure takes strings with raw newlines in them, too
        body = json.loads(received or b"{}", strict=False, parse_float=_finite, parse_constant=_finite)
        if b"\\u" in received:
            json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair is not text: it cannot be answered
    except ValueError as error:
        raise BadRequest(f"The request body is not valid JSON: {error}", "InvalidRequestContent") from error
    except RecursionError as error:
        raise BadRequest("The request body is nested too deeply.", "InvalidRequestContent") from error
    if not isinstance(body, dict):
        raise BadRequest("The request body must be a JSON object.", "InvalidRequestContent")
    return body
