"""The web server, which can also break off, and which waits for no client for ever."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from localazure.core.certificates import Certificates

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER, for no time


@dataclass(frozen=True)
class Patience:
    """What a client may take. uvicorn itself limits only how long a connection is kept after an answer."""

    head_s: float = 30
    """From the connection, or the first byte of a later request, to the end of the request's headers."""
    body_s: float = 60
    """Between two parts of a body."""
    silent: int = 256
    """How many connections may be open that have not yet sent a request; for one more, the oldest is closed."""


class Connections:
    """The open connections by the client's (host, port), and those of them on which no request has come so far."""

    def __init__(self, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self.open: dict[tuple[str, int], asyncio.Transport] = {}
        self.silent: dict[asyncio.Transport, None] = {}
        """Connections that have sent nothing yet, the oldest first."""
        self.closed = False
        """Whether new ones are reset at once."""

    def cut(self, client: tuple[str, int]) -> None:
        """Reset the connection from `client`, with nothing more sent."""
        if transport := self.open.get(client):
            plain = cast("socket.socket", transport.get_extra_info("socket"))
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()

    def cut_all(self) -> None:
        """Reset all of them."""
        for client in list(self.open):
            self.cut(client)

    def protocol(self) -> type[H11Protocol]:
        """Return uvicorn's HTTP protocol, which enters its connections here."""
        return type("Protocol", (_Protocol,), {"entered": self})


class _Protocol(H11Protocol):
    entered: Connections
    timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        super().connection_made(transport)
        # asyncio does so only where a socket was made with the protocol's number; an answer would take 40 ms
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.client:
            self.entered.open[self.client] = transport
            if self.entered.closed:
                self.entered.cut(self.client)
        if len(self.entered.silent) >= self.entered.patience.silent:
            next(iter(self.entered.silent)).abort()
        self.entered.silent[transport] = None
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.client:
            self.entered.open.pop(self.client, None)
        self.entered.silent.pop(self.transport, None)
        self._wait(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        """Limit how long the client may take for what it has begun."""
        state = self.conn.their_state
        if state is not h11.IDLE:
            self.entered.silent.pop(self.transport, None)
            self._wait(self.entered.patience.body_s if state is h11.SEND_BODY else None)
        elif not self.conn.trailing_data[0] and self.transport not in self.entered.silent:
            self._wait(None)  # nothing is begun: uvicorn limits that
        elif self.timer is None:
            self._wait(self.entered.patience.head_s)

    def _wait(self, limit_s: float | None) -> None:
        if self.timer:
            self.timer.cancel()
        self.timer = None if limit_s is None else self.loop.call_later(limit_s, self._give_up)

    def _give_up(self) -> None:
        if self.flow.read_paused:  # it is us who do not read
            self._wait(self.entered.patience.body_s)
        else:
            self.transport.abort()


class Web(uvicorn.Server):
    """uvicorn without signal handlers: we stop in an order of our own. Without `tls` it is for loopback."""

    def __init__(self, app: ASGIApp, tls: Certificates | None = None, connections: Connections | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=connections.protocol() if connections else "h11",
                ws="none",
                ssl_certfile=tls.certificate if tls else None,
                ssl_keyfile=tls.key if tls else None,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # a client is where its connection comes from, whatever it says
                lifespan="off",
                timeout_keep_alive=75,
                timeout_graceful_shutdown=2,
            )
        )
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Let it end after what is under way has been answered."""
        self.should_exit = True
        self._ending.set()

    async def kill(self) -> None:
        """End it as if its process was killed: what was under way goes no further once this returns."""
        self.force_exit = True
        self.end()
        requests = list(self.server_state.tasks)
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)

    async def main_loop(self) -> None:
        """Serve until `end`. uvicorn would look ten times a second; the date in answers changes once."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._ending.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to whoever runs the server."""
        yield


def reserve(address: str, port: int) -> socket.socket:
    """Return a socket that keeps a port for `listen`, also while nobody listens there; 0 for any.

    So nobody else is given the port meanwhile, and clients are refused. (Linux; others let no two sockets have a port.)
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        reserved.bind((address, port))
    except OSError:
        reserved.close()
        raise
    return reserved


def listen(address: str, port: int) -> socket.socket:
    """Return a socket that listens; connections on which nothing is sent stay with the kernel, and use up no file."""
    listening = socket.create_server((address, port))
    if hasattr(socket, "TCP_DEFER_ACCEPT"):  # Linux
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, round(Patience().head_s))
    return listening
