"""An edge: what is in front of a Prefect server, as Prefect Cloud's does, and can throttle, fail or be slow."""

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

SLOW_S = 20.0
RETRY_AFTER_S = 60

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Edge:
    """Hands connections on, in a thread of its own, until it is to do otherwise; those that are open end with that."""

    def __init__(self, api_url: str) -> None:
        address = urlsplit(api_url)
        self._server = address.hostname, address.port
        self._path = address.path
        self._port = 0
        self._answer: Answer = self._hand_on
        self._turns = itertools.cycle([True, False])
        self._open: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """The API's address behind it."""
        return f"http://127.0.0.1:{self._port}{self._path}"

    def throttle(self) -> None:
        """Answer everything 429 from now on, every second time with a Retry-After."""
        self._switch(self._refuse)

    def fail(self) -> None:
        """Answer everything 500 from now on, which Prefect's client does not try again."""
        self._switch(self._break)

    def delay(self) -> None:
        """Answer every second request late from now on, and the others never."""
        self._switch(self._hang)

    def stray(self) -> None:
        """Answer everything with a page from now on, as where a network wants a login."""
        self._switch(self._show_page)

    def misplace(self) -> None:
        """Answer everything 404 from now on, as a proxy that has lost its server."""
        self._switch(self._lose)

    def mend(self) -> None:
        """Hand everything on again."""
        self._switch(self._hand_on)

    def _switch(self, answer: Answer) -> None:
        async def switch() -> None:
            self._answer = answer
            self._end_all()

        asyncio.run_coroutine_threadsafe(switch(), self._loop).result()

    def _end_all(self) -> None:
        for task in self._open:
            task.cancel()

    async def _serve(self) -> None:
        async with await asyncio.start_server(self._accept, "127.0.0.1", 0) as listener:
            self._port = listener.sockets[0].getsockname()[1]
            self._ready.set()
            await self._over.wait()
        ending = list(self._open)
        self._end_all()
        await asyncio.gather(*ending)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling = asyncio.current_task()
        assert handling
        self._open.add(handling)
        with contextlib.suppress(asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
            await self._answer(reader, writer)
        writer.transport.abort()
        self._open.discard(handling)

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._server)
        try:
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        finally:
            back.transport.abort()

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wait = f"Retry-After: {RETRY_AFTER_S}\r\n" if next(self._turns) else ""
        await _reply(reader, writer, f"HTTP/1.1 429 Too Many Requests\r\n{wait}")

    async def _break(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _reply(reader, writer, "HTTP/1.1 500 Internal Server Error\r\n")

    async def _show_page(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _reply(reader, writer, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n")

    async def _lose(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _reply(reader, writer, "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n")

    async def _hang(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if next(self._turns):
            await asyncio.Event().wait()
        await asyncio.sleep(SLOW_S)
        await self._hand_on(reader, writer)


async def _reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: str) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length or b"0"))
    writer.write(f"{status}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(2**16):
        writer.write(chunk)
        await writer.drain()
    writer.close()
