"""A server that takes webhooks."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, Self

SECRET = "T0K3Nt0p5ecret"  # noqa: S105  # what must be seen nowhere


class Webhook(ThreadingHTTPServer):
    """Takes webhooks and answers as told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.released = Event()
        self.released.set()
        self.taken: list[dict[str, Any]] = []

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[Self]:
        """One that serves while the block lasts.

        Yields:
            The server.
        """
        with cls() as server:
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
        self.server.taken.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.server.released.wait()
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""
