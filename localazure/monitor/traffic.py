"""The scoring requests of the last hours, read from the gateway's access log, as observability is fed from them."""

import asyncio
import collections
import contextlib
import datetime
import itertools
import json
import logging
import mmap
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from localazure.core.clock import Clock
from localazure.gateway.access_log import predecessor

RETENTION = datetime.timedelta(hours=6)
MAX_REQUESTS = 500_000
"""What is kept in memory at most; the oldest go first."""
LONGEST = datetime.timedelta(minutes=3)
"""The longest that a request may take."""
PERIOD_S = 5
"""How often the log is looked at when nobody asks."""
_RECALLED_AT_ONCE = 20_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
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
    """Return the time now, in UTC."""
    return datetime.datetime.now(datetime.UTC)


class Traffic:
    """Follows the access log. A request is visible `delay_s` seconds after it began, as ingestion takes its time.

    What has been logged before this object was made is seen once `recall` has read it. `count` is called with each
    request that is logged from now on when it is read, whatever the delay.
    """

    def __init__(
        self,
        log: Path,
        delay_s: float = 0,
        now: Callable[[], datetime.datetime] = utc_now,
        count: Callable[[Request], None] = lambda _: None,
    ) -> None:
        self._log = log
        self._delay = datetime.timedelta(seconds=delay_s)
        self._now = now
        self._file = 0
        """The inode of the log that is being read: it gets another name when a new one is begun."""
        self._position = 0
        with contextlib.suppress(FileNotFoundError):
            found = log.stat()
            self._file, self._position = found.st_ino, found.st_size
        self._first_position = self._position
        self._recalled = asyncio.Event()
        self._requests: collections.deque[Request] = collections.deque(maxlen=MAX_REQUESTS)
        self._count = count

    async def follow(self, rotate: Callable[[], Awaitable[None]], clock: Clock) -> None:
        """Read the log until cancelled; `rotate` begins a new one where this has grown long."""
        try:
            await self.recall()
        except OSError:
            log.exception("earlier requests cannot be read")
        while True:
            try:
                self.catch_up()
                await rotate()
            except OSError:
                log.exception("requests cannot be read")
            await clock.sleep(PERIOD_S)

    async def recall(self) -> None:
        """Read what had been logged before, the newest first, off the event loop. To be called once, before `rotate`.

        Raises:
            OSError: The log cannot be read or moved.
        """
        history = self._history()
        try:
            while found := await asyncio.to_thread(list, itertools.islice(history, _RECALLED_AT_ONCE)):
                room = MAX_REQUESTS - len(self._requests)
                self._requests.extendleft(found[:room])
                if len(found) > room:
                    break
        finally:
            self._recalled.set()

    async def recalled(self) -> None:
        """Wait until all that had been logged before is visible."""
        await self._recalled.wait()

    @property
    def horizon(self) -> datetime.datetime:
        """What happened later than this is not visible yet."""
        return self._now() - self._delay

    def requests(
        self, start: datetime.datetime, end: datetime.datetime, endpoint: str | None = None
    ) -> Iterator[Request]:
        """Yield the visible requests that began in [start, end), of one endpoint or of all."""
        self.catch_up()
        end = min(end, self.horizon)
        for request in self._requests:
            if start <= request.time < end and endpoint in (None, request.endpoint):
                yield request

    def since(self, start: datetime.datetime) -> Iterator[Request]:
        """Yield those that began after `start`, whatever the delay; newest first."""
        self.catch_up()
        for request in reversed(self._requests):
            if request.time < start - LONGEST:  # they are in the order in which they ended
                return
            if request.time >= start:
                yield request

    def catch_up(self) -> None:
        """Read what the gateway has written."""
        current = 0  # no log: it has been moved away, and Envoy begins a new one with the next request
        with contextlib.suppress(FileNotFoundError):
            current = self._log.stat().st_ino
        if current != self._file:  # what was written before and while it was moved
            with contextlib.suppress(FileNotFoundError), predecessor(self._log).open("rb") as last:
                if os.fstat(last.fileno()).st_ino == self._file:
                    self._read(last)
        if current:
            if current != self._file:
                self._file, self._position = current, 0
            with self._log.open("rb") as file:
                self._read(file)
        oldest = self._now() - RETENTION
        while self._requests and self._requests[0].time < oldest:
            self._requests.popleft()

    def _read(self, file: IO[bytes]) -> None:
        file.seek(self._position)
        for line in file:
            if not line.endswith(b"\n"):
                break  # Envoy is writing it
            self._position += len(line)
            if request := _request(line):
                self._requests.append(request)
                self._count(request)

    def _history(self) -> Iterator[Request]:
        """Yield what had been logged at first, newest first, as far as it is kept."""
        oldest = self._now() - RETENTION
        lines = itertools.chain(_backwards(self._log, self._first_position), _backwards(predecessor(self._log)))
        for request in filter(None, map(_request, lines)):
            if request.time < oldest - LONGEST:  # they are in the order in which they ended
                return
            if request.time >= oldest:
                yield request


def _backwards(path: Path, end: int | None = None) -> Iterator[bytes]:
    """Yield the lines of the first `end` bytes, or of all, the last one first; none where there is no such file."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size if end is None else end
        if not end:
            return
        with mmap.mmap(file.fileno(), end, access=mmap.ACCESS_READ) as text:
            while end:
                start = text.rfind(b"\n", 0, end - 1) + 1
                yield text[start:end]
                end = start


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
        return None  # a request that was not HTTP has no path; it belongs to no endpoint
