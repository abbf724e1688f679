"""The web server with clients that begin and do not go on."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from localazure.core import certificates
from localazure.core.web import Connections, Patience, Web, listen

SHORT = Patience(head_s=1, body_s=1)
LONG_S = 20
"""Far longer than the server's patience, and shorter than what uvicorn itself waits for."""
REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def length(request: Request) -> Response:
    """Answer how long the body is."""
    return PlainTextResponse(str(len(await request.body())))


class Served:
    """A server, and new connections to it."""

    def __init__(self, port: int, tls: ssl.SSLContext) -> None:
        self.port = port
        self._tls = tls

    async def connect(self) -> Streams:
        """Open one, with its TLS handshake."""
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self._tls, server_hostname="127.0.0.1")


@contextlib.asynccontextmanager
async def serve(directory: Path, patience: Patience) -> AsyncIterator[Served]:
    """The server that local Azure has, with this patience."""
    files = certificates.ensure(directory)
    web = Web(Starlette(routes=[Route("/", length, methods=["POST"])]), files, Connections(patience))
    listening = listen("127.0.0.1", 0)
    serving = asyncio.create_task(web.serve([listening]))
    while not web.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield Served(listening.getsockname()[1], ssl.create_default_context(cafile=files.bundle))
    web.end()
    await serving


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """One that waits for a second."""
    async with serve(tmp_path, SHORT) as found:
        yield found


@pytest.mark.parametrize(
    "begun", [b"", b"POST / HT", REQUEST, REQUEST + b"abc"], ids=["nothing", "head", "body", "more"]
)
async def test_a_request_that_does_not_go_on_is_ended(served: Served, begun: bytes) -> None:
    """The connection is closed; a client that goes on in time is answered."""
    reader, writer = await served.connect()
    writer.write(begun)
    async with asyncio.timeout(LONG_S):
        assert await reader.read() == b""
    writer.close()


@pytest.mark.slow
async def test_the_next_request_of_a_connection_is_waited_for_no_longer(served: Served) -> None:
    """It may be long until it comes, but not until it is whole."""
    reader, writer = await served.connect()
    writer.write(REQUEST + b"abcd")
    async with asyncio.timeout(LONG_S):
        head = await reader.readuntil(b"\r\n\r\n")
        assert (head[:13], await reader.readexactly(1)) == (b"HTTP/1.1 200 ", b"4")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 2 * SHORT.head_s)
        writer.write(REQUEST[:9])
        assert await reader.read() == b""
    writer.close()


async def test_a_slow_body_that_goes_on_is_taken(served: Served) -> None:
    """However long it takes in all."""
    reader, writer = await served.connect()
    writer.write(REQUEST)
    async with asyncio.timeout(LONG_S):
        for byte in (b"a", b"b", b"c", b"d"):
            await asyncio.sleep(SHORT.body_s * 0.4)
            writer.write(byte)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_connections_that_say_nothing_leave_room_for_others(tmp_path: Path) -> None:
    """One too many ends the oldest of them, and none that has sent a request."""
    async with serve(tmp_path, Patience(silent=3)) as served, asyncio.timeout(LONG_S):
        speaking = await served.connect()
        speaking[1].write(REQUEST)
        silent = [await served.connect() for _ in range(4)]
        assert await silent[0][0].read() == b""
        speaking[1].write(b"abcd")
        assert (await speaking[0].readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        for _, writer in silent[1:]:
            writer.write(REQUEST + b"abcd")
        heads = [await reader.readuntil(b"\r\n\r\n") for reader, _ in silent[1:]]
        assert [head[:13] for head in heads] == [b"HTTP/1.1 200 "] * 3
        for _, writer in (speaking, *silent):
            writer.close()
