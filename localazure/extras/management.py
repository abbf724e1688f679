"""The control plane's web server: it can go away as if its process was killed, and come back on what is kept."""

import asyncio
from collections.abc import Awaitable, Callable

from localazure.arm.operations import Operations
from localazure.core.clock import Clock
from localazure.core.web import Connections, Web

Serving = tuple[Web, asyncio.Task[None]]
Start = Callable[[], Awaitable[Serving]]
"""Starts a server and returns once it answers."""


class Management:
    """Serves the control plane. The gateway and the instances are others': they live on."""

    def __init__(
        self,
        connections: Connections,
        operations: Operations,
        resume: Callable[[], None],
        clock: Clock,
        tasks: asyncio.TaskGroup,
    ) -> None:
        """`resume` goes on with changes that were begun; if it cannot come back, `tasks` fail."""
        self._connections = connections
        self._operations = operations
        self._resume = resume
        self._clock = clock
        self._tasks = tasks
        self._serving: tuple[Start, Serving] | None = None
        self._crash: asyncio.Task[None] | None = None
        self.returns = 0
        """How often it has come back."""

    async def open(self, start: Start) -> None:
        """Begin to serve, and return once it answers; after a crash it starts in the same way."""
        self._serving = start, await start()

    async def close(self) -> None:
        """Answer what is under way, and end."""
        if self._crash:
            await self._crash
        if self._serving:
            _, (web, serving) = self._serving
            web.end()
            await serving

    def crash(self, away_s: float) -> None:
        """End at once, whatever is under way; be away for a while; then go on with what was begun."""
        if self._serving and (self._crash is None or self._crash.done()):
            absence = self._go_away(*self._serving, away_s)
            self._crash = self._tasks.create_task(absence, name="crash of the control plane")

    async def _go_away(self, start: Start, served: Serving, away_s: float) -> None:
        web, serving = served
        self._connections.closed = True
        self._connections.cut_all()
        await web.kill()
        await self._operations.stop()
        await serving
        await self._clock.sleep(away_s)
        await self._operations.stop()  # attempts to bring back instances, which go on by themselves
        self._operations.recall()
        self._resume()
        self._operations.end_interrupted()
        self._connections.closed = False
        await self.open(start)
        self.returns += 1
