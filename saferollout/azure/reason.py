"""Why Azure refused: its error's code and message, and the inner error that holds the reason.

Azure ML often says only `UserError: The specified resource was not found.` at the top; the code and the name stand in
`details`, in `innerError`, or in an error that was passed on as JSON text.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from azure.core.exceptions import HttpResponseError

MAX_LENGTH = 600
_SIGNATURE = re.compile(r"(?i)\bsig=[^&\s'\")]+")
"""What lets whoever has the address of a blob read it."""


def reason_of(error: Exception) -> str:
    """What an exception of an Azure client says, in one line: code, message, inner reason, id for Azure's support."""
    answered = _body(error) if isinstance(error, HttpResponseError) else {}
    said = [text for text in map(_said, _inwards(answered)) if text]
    if not said:
        text = getattr(getattr(error, "error", None), "message", None) or getattr(error, "message", None) or str(error)
        return _line(text or type(error).__name__)
    # the last code may have no message, but it says what it is about
    inner = dict.fromkeys([*[text for text in said if ": " in text][-1:], said[-1]])
    reason = "; ".join(text for text in inner if text != said[0])
    correlation = [f"[correlation id {found}]"] if (found := _correlation(answered)) else []
    return _line(said[0] + (f" ({reason})" if reason else ""), *correlation)


def _body(error: HttpResponseError) -> dict[str, Any]:
    """The error in the answer's JSON; empty if there is none."""
    try:
        shown = json.loads(error.response.text()) if error.response is not None else None
    except ValueError:
        return {}
    inside = shown.get("error") if isinstance(shown, dict) else None
    return inside if isinstance(inside, dict) else {}


def _inwards(error: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the error, and each one within it, towards the reason."""
    seen: dict[str, Any] | None = error
    while seen is not None:
        yield seen
        seen = _next(seen)


def _next(error: dict[str, Any]) -> dict[str, Any] | None:
    candidates = [_passed_on(error).get("error")]
    details = error.get("details")
    candidates += details[:1] if isinstance(details, list) else []
    candidates += [error.get("innerError"), error.get("innererror")]
    return next((found for found in candidates if isinstance(found, dict) and found), None)


def _passed_on(error: dict[str, Any]) -> dict[str, Any]:
    """Another service's answer, as JSON in the message; empty if it is an ordinary message."""
    try:
        shown = json.loads(str(error.get("message")))
    except ValueError:
        return {}
    return shown if isinstance(shown, dict) else {}


def _said(error: dict[str, Any]) -> str:
    """`code: message`, or what there is of the two; a message that is itself an error in JSON says nothing."""
    code, message = (str(error.get(key) or "") for key in ("code", "message"))
    if _passed_on(error):
        message = ""
    return ": ".join(part for part in (code, message) if part)


def _correlation(error: dict[str, Any]) -> str:
    """The id by which Azure's support finds the request."""
    for inner in _inwards(error):
        for info in inner.get("additionalInfo") or []:
            match info:
                case {"type": "Correlation", "info": {"value": {"operation": str(operation)}}}:
                    return operation
        match _passed_on(inner):
            case {"correlation": {"operation": str(operation)}}:
                return operation
    return ""


def _line(*parts: str) -> str:
    text, *rest = (_SIGNATURE.sub("sig=…", " ".join(str(part).split())) for part in parts)
    return " ".join([text[:MAX_LENGTH], *rest])
