"""The data collector: what deployments collect, written to blobs as Azure's own does."""

import base64
import contextlib
import dataclasses
import datetime
import hmac
import json
import logging
import random
import re
import secrets
import urllib.parse
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localazure.arm.bodies import content
from localazure.arm.errors import ArmError
from localazure.storage.blobs import Blobs

PATH = "/modeldata/log"
"""Where events come in, as the library in scoring scripts sends them; so does the gateway."""

PAYLOADS = ("request", "response")
"""The collections that the gateway sends; all others come from scoring scripts, which draw their samples themselves."""

MAX_INLINE_BYTES = 4 * 1024**2
"""What is longer becomes a blob of its own."""
MAX_EVENT_BYTES = 256 * 1024**2

_USER = "mdc"
_TYPE = "azureml.inference."
_PREFIX = "ce-"
_FOLDERS = {"Year": "%Y", "Month": "%Y/%m", "Day": "%Y/%m/%d", "Hour": "%Y/%m/%d/%H", "Minute": "%Y/%m/%d/%H/%M"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Collected:
    """Where a collection goes, and how much of it."""

    container: str
    folder: str
    rate: float
    """The share of requests, in (0, 1]."""


@dataclass(frozen=True)
class Sink:
    """What a deployment collects."""

    source: str
    """The deployment's ARM id."""
    collections: dict[str, Collected]
    """By names in lower case."""
    rolling_rate: str

    def key(self, secret: bytes) -> str:
        """Return what whoever writes to it must know; equal ones have the same."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hmac.digest(secret, text.encode(), "sha256").hex()


def _utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Collector:
    """Takes events on `port` of loopback and appends each to its collection, a JSON object a line.

    On Azure a container beside each instance does this. Here it is one for all, so those who send say for whom.
    """

    def __init__(self, blobs: Blobs, port: int, now: Callable[[], datetime.datetime] = _utc_now) -> None:
        self.port = port
        self._blobs = blobs
        self._now = now
        self._secret = secrets.token_bytes(32)
        self._sinks: dict[str, Sink] = {}
        self._files: dict[tuple[str, str], str] = {}
        """The last folder of a collection and its file there, by the sink's key and the collection."""

    @property
    def application(self) -> Starlette:
        """What answers on the port."""
        return Starlette(routes=[Route(PATH, self._log, methods=["POST"])])

    def open(self, sink: Sink) -> str:
        """Take events for the sink from now on.

        Returns:
            The user and the password to send them with, as an address has them before its host.
        """
        key = sink.key(self._secret)
        self._sinks[key] = sink
        return f"{_USER}:{key}"

    async def _log(self, request: Request) -> Response:
        key = _password(request.headers)
        sink = self._sinks.get(key)
        name = request.headers.get("ce-type", "").removeprefix(_TYPE).lower()
        collected = sink.collections.get(name) if sink else None
        if sink is None or collected is None:
            return Response("no such collection", 404 if sink else 401)
        if name in PAYLOADS and random.Random(request.headers.get("ce-x-request-id")).random() >= collected.rate:  # noqa: S311 - a sample; both payloads of a request are in it, or none
            return Response("not in the sample")
        try:
            self._write(key, sink, name, request.headers, await content(request, MAX_EVENT_BYTES))
        except (ArmError, OSError) as error:
            log.warning("%s of %s was not collected: %s", name, sink.source, error)
            return Response(str(error), 507)
        return Response("collected")

    def _write(self, key: str, sink: Sink, name: str, headers: Headers, body: bytes) -> None:
        collected = sink.collections[name]
        folder = f"{collected.folder}/{self._now().strftime(_FOLDERS[sink.rolling_rate])}"
        file = self._files.get((key, name), "")
        if not file.startswith(f"{folder}/"):
            file = self._files[key, name] = f"{folder}/{uuid.uuid4()}.jsonl"
        identifier = headers.get("trace-id") or str(uuid.uuid4())
        media, raw = headers.get("content-type", ""), f"{folder}/{identifier}"
        address = f"{self._blobs.url}/{collected.container}/{urllib.parse.quote(raw)}"
        data = _data(media, body, address)
        if address in data.values():
            self._blobs.append(collected.container, raw, body, media)
        event = {
            "specversion": "1.0",
            "id": identifier,
            "source": sink.source,
            "type": _TYPE + name,
            "datacontenttype": media,
            "time": _time(headers, self._now()).strftime("%Y-%m-%dT%H:%M:%SZ"),
            **data,
            "contentrange": f"bytes 0-{len(body) - 1}/{len(body)}" if body else "bytes */0",
        }
        event |= {key: value for key, value in _attributes(headers).items() if key not in event}
        line = json.dumps(event, separators=(",", ":")) + "\n"
        self._blobs.append(collected.container, file, line.encode(), "application/octet-stream")


def _password(headers: Headers) -> str:
    kind, _, credentials = headers.get("authorization", "").partition(" ")
    try:
        user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:
        return ""
    return password if (kind.lower(), user) == ("basic", _USER) else ""


def _time(headers: Headers, now: datetime.datetime) -> datetime.datetime:
    seconds = headers.get("ce-time", "")
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC) if re.fullmatch(r"\d{1,11}", seconds) else now


def _attributes(headers: Headers) -> dict[str, str]:
    """Return what else a sender says, by names as CloudEvents have them: small letters and digits only."""
    said = {key.removeprefix(_PREFIX): value for key, value in headers.items() if key.startswith(_PREFIX)}
    if correlation := said.pop("x-request-id", ""):
        said = {"correlationid": correlation, "xrequestid": correlation} | said
    return {re.sub(r"[^a-z0-9]", "", key): value for key, value in said.items()}


def _data(media: str, body: bytes, address: str) -> dict[str, Any]:
    """Return the attributes that have the body, or say that it is at `address`."""
    if not body:
        return {}
    if media.partition(";")[0].strip().lower() == "application/json":
        if len(body) > MAX_INLINE_BYTES:
            return {"dataref": address}
        with contextlib.suppress(
            ValueError, RecursionError
        ):  # then it is not JSON, whatever it says, or nested too deeply
            return {"data": json.loads(body, parse_constant=_refuse)}
    return {"data": address, "datainblob": "true"}


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not valid JSON")
