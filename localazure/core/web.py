"""The web server, which can also break off."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from localazure.core.certificates import Certificates

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER, for no time


class Connections:
    """The open connections by the client's (host, port)."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], asyncio.Transport] = {}

    def cut(self, client: tuple[str, int]) -> None:
        """Reset the connection from `client`, with nothing more sent."""
        if transport := self._open.get(client):
            plain = cast("socket.socket", transport.get_extra_info("socket"))
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()

    def protocol(self) -> type[H11Protocol]:
        """Return uvicorn's HTTP protocol, which enters its connections here."""
        connections = self._open

        class Protocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
                super().connection_made(transport)
                if self.client:
                    connections[self.client] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                if self.client:
                    connections.pop(self.client, None)
                super().connection_lost(exc)

        return Protocol


class Web(uvicorn.Server):
    """uvicorn without signal handlers: we stop in an order of our own."""

    def __init__(self, app: ASGIApp, tls: Certificates, connections: Connections) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=connections.protocol(),
                ssl_certfile=tls.certificate,
                ssl_keyfile=tls.key,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # a client is where its connection comes from, whatever it says
                lifespan="off",
                timeout_keep_alive=75,
                timeout_graceful_shutdown=2,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield
