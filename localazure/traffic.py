"""The scoring requests of the last hours, read from the gateway's access log, as observability is fed from them."""

from __future__ import annotations

import collections
import datetime
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RETENTION = datetime.timedelta(hours=6)
MAX_REQUESTS = 500_000
"""What is kept in memory at most; the oldest go first."""
LONGEST = datetime.timedelta(minutes=3)
"""The longest that a request may take."""


@dataclass(frozen=True)
class Request:
    """One answered scoring request. `deployment` is empty where the gateway answered before it had chosen one."""

    time: datetime.datetime
    endpoint: str
    deployment: str
    status: int
    model_status: str
    total_ms: float
    model_ms: float
    request_bytes: int
    response_bytes: int
    method: str
    path: str
    protocol: str
    request_id: str
    client_request_id: str
    request_delay_ms: int
    """How long bandwidth was waited for."""
    response_delay_ms: int
    mirrored: bool
    """Whether it was a copy of a request, whose answer nobody got."""


def utc_now() -> datetime.datetime:
    """This moment."""
    return datetime.datetime.now(datetime.UTC)


class Traffic:
    """Follows the access log. A request is visible `delay_s` seconds after it began, as ingestion takes its time."""

    def __init__(self, log: Path, delay_s: float = 0, clock: Callable[[], datetime.datetime] = utc_now) -> None:
        self._log = log
        self._delay = datetime.timedelta(seconds=delay_s)
        self._clock = clock
        self._position = 0
        self._requests: collections.deque[Request] = collections.deque(maxlen=MAX_REQUESTS)
        self.heard: Callable[[Request], None] = lambda _: None
        """Called with each request when it is read, whatever the delay."""

    @property
    def horizon(self) -> datetime.datetime:
        """What happened later than this is not visible yet."""
        return self._clock() - self._delay

    def requests(
        self, start: datetime.datetime, end: datetime.datetime, endpoint: str | None = None
    ) -> Iterator[Request]:
        """The visible requests that began in [start, end), of one endpoint or of all."""
        self.catch_up()
        end = min(end, self.horizon)
        for request in self._requests:
            if start <= request.time < end and endpoint in (None, request.endpoint):
                yield request

    def since(self, start: datetime.datetime) -> Iterator[Request]:
        """Those that began after `start`, whatever the delay; newest first."""
        self.catch_up()
        for request in reversed(self._requests):
            if request.time < start - LONGEST:  # they are in the order in which they ended
                return
            if request.time >= start:
                yield request

    def catch_up(self) -> None:
        """Read what the gateway has written."""
        try:
            with self._log.open("rb") as file:
                file.seek(self._position)
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # Envoy is writing it
                    self._position += len(line)
                    if request := _request(line):
                        self._requests.append(request)
                        self.heard(request)
        except FileNotFoundError:
            return
        oldest = self._clock() - RETENTION
        while self._requests and self._requests[0].time < oldest:
            self._requests.popleft()


def _request(line: bytes) -> Request | None:
    try:
        row: dict[str, Any] = json.loads(line)
        path = row["path"] or ""
        parts = path.split("/")
        endpoint = row["endpoint"] or (parts[2] if path.startswith("/endpoints/") else "")
        answered = row["model_ms"] is not None
        status = int(row["response_code"] or 0)
        if row["mirrored"] and not status and row["received_ms"] is not None:
            status = 408  # the gateway cuts a copy, too, when the time is over that the original had
        return Request(
            time=datetime.datetime.fromisoformat(row["time"]),
            endpoint=endpoint.lower(),
            deployment=row["deployment"] or "",
            status=status,
            model_status=str(row["model_status_code"] or ("200" if answered else "")),
            total_ms=float(row["duration_ms"] or 0),
            model_ms=float(row["model_ms"] or 0),
            request_bytes=int(row["request_bytes"] or 0),
            response_bytes=int(row["response_bytes"] or 0),
            method=row["method"] or "",
            path=path,
            protocol=row["protocol"] or "",
            request_id=row["request_id"] or "",
            client_request_id=row["client_request_id"] or "",
            request_delay_ms=int(row["request_delay_ms"] or 0),
            response_delay_ms=int(row["response_delay_ms"] or 0),
            mirrored=row["mirrored"],
        )
    except (ValueError, KeyError, TypeError):
        return None  # a request that was no HTTP has no path; it belongs to no endpoint
