"""What protects the page: headers of each response, and the check that a form was sent by the page itself."""

import json
import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saferollout_cli.page.trouble import Trouble

MAX_BODY = 20_000
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # `no-referrer` would take the origin from the page's own forms
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
TLS = {"Strict-Transport-Security": "max-age=31536000"}


class Guard:
    """Puts the headers on every response, those of errors too."""

    def __init__(self, app: ASGIApp, *, is_secure: bool) -> None:
        self._app = app
        self._headers = HEADERS | (TLS if is_secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, send_guarded)


async def read_form(request: Request, url: str) -> Mapping[str, str]:
    """The fields of a form that the page at this address has shown to whoever sends it.

    Raises:
        Trouble: It is another site's, or not a form.
    """
    body = await _read_body(request)
    try:
        fields = dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=20, errors="strict"))
    except ValueError:
        raise Trouble(400, "That is not a form of this page", "Nothing was answered.") from None
    known = str(request.session.get("csrf", ""))
    is_own = known and secrets.compare_digest(known.encode(), fields.get("csrf", "").encode())
    if not is_own or request.headers.get("origin", url) != url:
        text = "The form was not sent from this page, or your sign-in has changed since. Nothing was answered."
        raise Trouble(403, "This form does not count", text)
    return fields


async def read_command(request: Request) -> Mapping[str, str]:
    """What a command line has sent: an object of texts. No other site can let a browser send that.

    Raises:
        Trouble: It is something else.
    """
    if request.headers.get("content-type") != "application/json" or "origin" in request.headers:
        raise Trouble(415, "That is not from a command line", "Nothing was answered.")
    try:
        fields = json.loads(await _read_body(request))
    except ValueError:
        fields = None
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise Trouble(400, "That is not an answer", "Nothing was answered.")
    return fields


async def _read_body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise Trouble(413, "That is too long", f"A form may have {MAX_BODY} bytes.")
    return body
