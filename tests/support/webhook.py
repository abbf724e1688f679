"""A server that takes webhooks."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

SECRET = "T0K3Nt0p5ecret"  # noqa: S105  # what must be seen nowhere


class Webhook(ThreadingHTTPServer):
    """Takes webhooks and answers as told."""

    daemon_threads = True

    def __init__(self, log: Path | None = None) -> None:
        """A `log` gets a line for each."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.log = log
        self.status = 200
        self.released = Event()
        self.released.set()
        self.taken: list[dict[str, Any]] = []

    @classmethod
    @contextmanager
    def started(cls, log: Path | None = None) -> Iterator[Self]:
        """One that serves while the block lasts.

        Yields:
            The server.
        """
        with cls(log) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            try:
                yield server
            finally:
                server.released.set()
                server.shutdown()

    @property
    def address(self) -> str:
        """As Apprise wants it, with a secret in its path."""
        return f"json://127.0.0.1:{self.server_port}/{SECRET}"


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        """Take a webhook."""
        said = self.rfile.read(int(self.headers["content-length"]))
        self.server.taken.append(json.loads(said))
        if self.server.log:
            with self.server.log.open("ab") as log:
                log.write(said + b"\n")
        self.server.released.wait()
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""
