"""The recorder: every management request and its answer, a JSON object a line, without secrets."""

import datetime
import json
import os
import re
import urllib.parse
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localazure.core.clock import Clock
from localazure.extras.admin import ROOT as ADMIN_ROOT
from localazure.storage.blobs import ACCOUNT_PATH

MASK = "***"
MAX_BODY_BYTES = 256 * 1024
"""Of a longer body, and of one that is not text, only the length is written."""

_SECRET_HEADERS = {
    "authorization",
    "cookie",
    "secret",
    "set-cookie",
    "x-identity-header",
    "x-ms-authorization-auxiliary",
}
_SECRET_KEYS = re.compile(
    r"(?i)(primary|secondary|access|account|api|storage)_?key$|key_?value$|secret$"
    r"|(access|refresh|id|sas|auth)_?token$|password|assertion$|sas_?uri$|^sig$"
)
_VARIABLES = re.compile(r"(?i)^environment_?variables$")
_SECRETS_IN_TEXT = re.compile(
    r"(?i)(\bsig=|\bBearer\s+|\bclient_secret=)[^&\s\"']+"
    r"|(://[^/\s:@]*:)[^/\s@]+(?=@)"  # as in the address of a package index
)


class Recorder:
    """Writes to `path`, which it appends to and which only the owner can read."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._clock = clock
        self._file: IO[str] = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Return `app`, recorded; the admin API's pages and what people and Prometheus look at are left out."""

        async def handle(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"] not in ("/", "/metrics") and not _is_admin(scope["path"]):
                await self._record(app, scope, receive, send)
            else:
                await app(scope, receive, send)

        return handle

    async def _record(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        asked, answered = _Body(), _Body()
        answer: dict[str, Any] = {}
        started = self._clock.monotonic()

        async def hear() -> Message:
            message = await receive()
            asked.add(message.get("body", b""))
            return message

        async def say(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.update(status=message["status"], headers=_headers(message["headers"]))
            answered.add(message.get("body", b""))
            await send(message)

        try:
            await app(scope, hear, say)
        finally:
            # Blobs and logs are what users wrote, and may hold anything.
            with_bodies = not scope["path"].startswith(f"/{ACCOUNT_PATH}.")
            with_answer = with_bodies and not scope["path"].lower().endswith("/getlogs")
            line = {
                "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
                "duration_ms": round((self._clock.monotonic() - started) * 1000, 1),
                "method": scope["method"],
                "path": scope["path"],
                "query": _pairs(scope["query_string"].decode()),
                "headers": _headers(scope["headers"]),
                "body": asked.as_json(with_bodies),
                "answer": {**answer, "body": answered.as_json(with_answer)} if answer else None,
            }
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()


class _Body:
    """The bytes of a body, as far as they are written down."""

    def __init__(self) -> None:
        self._size = 0
        self._content = bytearray()

    def add(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size <= MAX_BODY_BYTES:
            self._content += chunk

    def as_json(self, in_full: bool) -> Any:
        if not self._size:
            return None
        if not in_full or self._size > MAX_BODY_BYTES:
            return {"bytes": self._size}
        try:
            text = self._content.decode()
        except UnicodeDecodeError:
            return {"bytes": self._size}
        try:
            return masked(json.loads(text))
        except (ValueError, RecursionError):
            return _pairs(text) if re.fullmatch(r"[\w.-]+=[^\s]*", text) else {"bytes": self._size}


def masked(value: Any) -> Any:
    """Return `value`, as JSON has it, with every secret replaced by `***`."""
    match value:
        case dict():
            return {
                key: _hidden(found)
                if _VARIABLES.search(key) or (_SECRET_KEYS.search(key) and isinstance(found, str))
                else masked(found)
                for key, found in value.items()
            }
        case list():
            return [masked(found) for found in value]
        case str():
            return _SECRETS_IN_TEXT.sub(lambda found: (found[1] or found[2]) + MASK, value)
    return value


def _hidden(value: Any) -> Any:
    """Return `value` with its names only; what users give their containers as variables may all be secret."""
    match value:
        case dict():
            return {key: _hidden(found) for key, found in value.items()}
        case list():
            return [_hidden(found) for found in value]
    return value if value is None else MASK


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    pairs = ((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw)
    return {name: MASK if name in _SECRET_HEADERS else str(masked(value)) for name, value in pairs}


def _pairs(text: str) -> dict[str, str]:
    found: dict[str, str] = masked(dict(urllib.parse.parse_qsl(text, keep_blank_values=True)))
    return found


def _is_admin(path: str) -> bool:
    return path.startswith(ADMIN_ROOT + "/")
