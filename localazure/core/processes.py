"""Child processes that die with this one."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol, Self

import psutil

from localazure.core import leash


class Leashed(Protocol):
    """A leash, and what is on it: one that asyncio has started, or another."""

    @property
    def pid(self) -> int: ...  # noqa: D102 - as asyncio's
    @property
    def returncode(self) -> int | None: ...  # noqa: D102 - likewise
    @property
    def stdout(self) -> asyncio.StreamReader | None: ...  # noqa: D102 - likewise
    async def wait(self) -> int: ...  # noqa: D102 - likewise
    def terminate(self) -> None: ...  # noqa: D102 - likewise


class Process:
    """A command on a leash (see `localazure.core.leash`): it dies when we do, even when we are killed."""

    def __init__(self, leashed: Leashed) -> None:
        self._leashed = leashed

    @classmethod
    async def start(
        cls,
        argv: Sequence[str | Path],
        *,
        output: IO[bytes] | int,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
        grace_s: float = 10,
        farewell: Sequence[str] = (),
    ) -> Self:
        """Start a command.

        Args:
            argv: The command.
            output: Where its stdout and stderr go.
            env: Its environment; ours, if None.
            cwd: Where it runs; where we do, if None.
            pass_fds: Which of our open files it gets.
            grace_s: How long it may take to stop when asked, in seconds.
            farewell: A command that ends what `argv` starts elsewhere: it is run when `argv` has ended, however.

        Returns:
            The running command.
        """
        environ = dict(os.environ if env is None else env)
        environ[leash.GRACE_ENV] = str(grace_s)
        environ[leash.FAREWELL_ENV] = json.dumps(farewell)
        leashed = await asyncio.create_subprocess_exec(
            *leash.command(*map(str, argv)),
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            env=environ,
            cwd=cwd,
            pass_fds=pass_fds,
            start_new_session=True,  # Ctrl-C in a terminal is for us to pass on, in our order
        )
        return cls(leashed)

    @property
    def returncode(self) -> int | None:
        """The command's exit code; None while it runs."""
        return self._leashed.returncode

    @property
    def pid(self) -> int:
        """Of the leash; the command and all that it starts are its descendants."""
        return self._leashed.pid

    async def wait(self) -> int:
        """Wait for the command to end.

        Returns:
            Its exit code.
        """
        return await self._leashed.wait()

    async def read(self) -> bytes:
        """Wait for the command to end.

        Returns:
            Its output.

        Raises:
            RuntimeError: The output was not asked for as a pipe.
        """
        if self._leashed.stdout is None:
            raise RuntimeError("the output is not a pipe")
        # not communicate(), which closes the leash's stdin from Python 3.12 on
        output = await self._leashed.stdout.read()
        await self._leashed.wait()
        return output

    def kill(self) -> None:
        """Kill the command and its descendants, as the kernel does when memory runs out; the leash stays."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self._leashed.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)

    async def stop(self) -> int:
        """Ask the command to end, then make it, and wait until it and all its descendants are gone.

        Returns:
            Its exit code.
        """
        with contextlib.suppress(ProcessLookupError):
            self._leashed.terminate()
        return await self._leashed.wait()
