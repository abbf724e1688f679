"""Scoring servers from zygotes: processes that have the inference server's imports, and fork for each instance."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from localazure.arm.errors import LocalAzureError
from localazure.core import leash
from localazure.core.processes import Process

START_S = 120
"""How long a zygote's imports may take."""

IDLE = 2
"""How many zygotes without forks are kept."""

SCORING_SERVER = Path(__file__).with_name("scoring_server.py")
_ZYGOTE = Path(__file__).with_name("zygote.py")

_LATER_S = 5
"""How much longer than its forks a zygote may take to stop."""

log = logging.getLogger(__name__)


class ZygoteFailed(LocalAzureError):
    """A zygote does not come to fork."""


@dataclass(frozen=True)
class Server:
    """What a scoring server runs with."""

    python: Path
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    grace_s: float

    @property
    def kind(self) -> tuple[Path, Path, frozenset[tuple[str, str]]]:
        """Python, folder and environment of the zygote that can fork it.

        Python and packages read variables when they start, and all that they may read are the zygote's as well. Where
        one has Python look for modules in the deployment's folders, the zygote is that deployment's only.
        """
        folder = self.folder if "PYTHONPATH" in self.environment else Path("/")
        return self.python, folder, frozenset(self.environment.items() - self.own.items())

    @property
    def own(self) -> dict[str, str]:
        """The variables that only the fork gets: those that the inference server's own modules read, and the home."""
        if "PYTHONPATH" in self.environment:
            return {}
        return {
            name: value
            for name, value in self.environment.items()
            if name == "HOME" or name.startswith(("AML_", "AZUREML_"))
        }


class Zygotes:
    """Starts scoring servers: forks of a zygote, which the first of their kind starts."""

    def __init__(self) -> None:
        self._zygotes: dict[object, _Zygote] = {}
        """By kind; the one that was used last is the last."""
        self._retired: set[_Zygote] = set()
        """Those that are to fork no longer, and end when their forks have."""
        self._alone: set[object] = set()
        """Kinds whose zygotes do not come to fork."""
        self._starting = asyncio.Lock()
        self._watches: set[asyncio.Task[None]] = set()

    async def start(self, server: Server, listener: socket.socket, output: IO[bytes]) -> Process:
        """Start a server on the socket, its output to `output`.

        Where a zygote does not come to fork, the server does its imports itself.

        Returns:
            The process.
        """
        if server.kind not in self._alone:
            zygote = await self._zygote(server)
            try:
                fork = await zygote.fork(server, listener, output)
            except ZygoteFailed as failure:
                if not zygote.has_forked:
                    self._alone.add(server.kind)
                end = await self._retire(zygote)
                why = str(failure) or end
                log.warning("a scoring server with %s does its imports itself: %s", server.python, why)
            else:
                watch = asyncio.create_task(self._watch(zygote, fork))
                self._watches.add(watch)
                watch.add_done_callback(self._watches.discard)
                return Process(fork)
        return await self.start_alone(server, listener, output)

    async def start_alone(self, server: Server, listener: socket.socket, output: IO[bytes]) -> Process:
        """Start a server likewise, which does its imports itself.

        Returns:
            The process.
        """
        return await Process.start(
            [server.python, SCORING_SERVER, str(listener.fileno()), *server.arguments],
            output=output,
            env=dict(server.environment),
            cwd=server.folder,
            pass_fds=[listener.fileno()],
            grace_s=server.grace_s,
        )

    async def stop(self) -> None:
        """End the zygotes, and what they have forked."""
        zygotes = {*self._zygotes.values(), *self._retired}
        self._zygotes, self._retired = {}, set()
        await asyncio.gather(*(zygote.stop() for zygote in zygotes))
        await asyncio.gather(*self._watches)

    async def _zygote(self, server: Server) -> "_Zygote":
        """Return that of the server's kind."""
        async with self._starting:
            zygote = self._zygotes.pop(server.kind, None)
            if zygote and zygote.has_ended:
                await zygote.stop()
                zygote = None
            zygote = zygote or await _Zygote.start(server)
            self._zygotes[server.kind] = zygote
            return zygote

    async def _watch(self, zygote: "_Zygote", fork: "_Fork") -> None:
        """Wait for the end of the fork; end the zygotes that are not needed: of the idle, those used longest ago."""
        await fork.wait()
        zygote.forks -= 1
        while done := [one for one in self._retired if not one.forks]:
            await self._end(done[0])
        while len(idle := [one for one in self._zygotes.values() if not one.forks]) > IDLE:
            await self._end(idle[0])

    async def _retire(self, zygote: "_Zygote") -> str:
        """Have it fork no longer, and end it when it has no forks, which its end would kill.

        Returns:
            How it ended, if it has.
        """
        if zygote.has_ended or not zygote.forks:
            return await self._end(zygote)
        self._forget(zygote)
        self._retired.add(zygote)
        zygote.close()
        return "its zygote does not fork"

    async def _end(self, zygote: "_Zygote") -> str:
        self._forget(zygote)
        return await zygote.stop()

    def _forget(self, zygote: "_Zygote") -> None:
        self._zygotes = {kind: one for kind, one in self._zygotes.items() if one is not zygote}
        self._retired.discard(zygote)


class _Zygote:
    """A zygote's process."""

    def __init__(self, process: Process, control: socket.socket, output: IO[bytes]) -> None:
        self.forks = 0
        """How many of them live, or are to."""
        self.has_forked = False
        self._process = process
        self._control = control
        self._output = output
        self._why = ""

    @classmethod
    async def start(cls, server: Server) -> Self:
        """Start one for servers of this kind.

        Returns:
            The zygote, which may be busy with its imports.
        """
        python, folder, environment = server.kind
        with contextlib.ExitStack() as undo:
            output = undo.enter_context(tempfile.TemporaryFile())
            control, theirs = socket.socketpair()
            undo.enter_context(control)
            with theirs:
                process = await Process.start(
                    [python, _ZYGOTE, str(theirs.fileno()), SCORING_SERVER, leash.__file__],
                    output=output,
                    env=dict(environment),
                    cwd=folder,
                    pass_fds=[theirs.fileno()],
                    grace_s=server.grace_s + _LATER_S,
                )
            undo.pop_all()
        return cls(process, control, output)

    @property
    def has_ended(self) -> bool:
        """Whether it can fork no longer."""
        return self._process.returncode is not None

    async def fork(self, server: Server, listener: socket.socket, output: IO[bytes]) -> "_Fork":
        """Fork a server.

        Raises:
            ZygoteFailed: It does not fork. The text says why, if that is known.
        """
        self.forks += 1
        try:
            fork = await self._fork(server, [listener.fileno(), output.fileno()])
        except BaseException as error:
            self.forks -= 1
            if isinstance(error, OSError):
                hung_up = isinstance(error, ConnectionError)  # the zygote has, and said why
                why = self._last_line() if hung_up else str(error) or "it takes too long"
                raise ZygoteFailed(why) from error
            raise
        self.has_forked = True
        return fork

    async def _fork(self, server: Server, files: list[int]) -> "_Fork":
        order = {
            "arguments": server.arguments,
            "environment": server.own,
            "folder": str(server.folder),
            "grace_s": server.grace_s,
        }
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            with theirs:
                socket.send_fds(self._control, [b"."], [theirs.fileno(), *files])
            reader, writer = await asyncio.open_connection(sock=ours)
            undo.pop_all()
            undo.callback(writer.close)
            writer.write(json.dumps(order).encode() + b"\n")
            async with asyncio.timeout(START_S):
                pid = await reader.readline()
            if not pid:
                raise ConnectionError
            undo.pop_all()
            return _Fork(int(pid), reader, writer)

    def close(self) -> None:
        """Order nothing more: it ends by itself when its forks have ended."""
        self._control.close()

    async def stop(self) -> str:
        """End it, and its forks.

        Returns:
            Why it ended: what it wrote last.
        """
        self.close()
        code = await self._process.stop()
        if not self._output.closed:  # not by another one that has waited as well
            self._why = self._last_line() or f"its zygote ended with code {code}"
            self._output.close()
        return self._why

    def _last_line(self) -> str:
        if self._output.closed:
            return self._why
        file = self._output.fileno()
        said = os.pread(file, os.fstat(file).st_size, 0)  # at no other place than where it writes, which it may yet do
        lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else ""


class _Fork:
    """The leash of a server that a zygote has forked."""

    stdout = None

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._writer = writer
        self._end = asyncio.create_task(self._read_end(reader))

    async def wait(self) -> int:
        """Wait for the end.

        Returns:
            The exit code.
        """
        return await asyncio.shield(self._end)

    def terminate(self) -> None:
        """Ask it to end: it takes that for our death."""
        self._writer.write_eof()

    async def _read_end(self, reader: asyncio.StreamReader) -> int:
        try:
            line = await reader.readline()
        except OSError:
            line = b""
        self._writer.close()
        self.returncode = int(line) if line else -signal.SIGKILL
        return self.returncode
