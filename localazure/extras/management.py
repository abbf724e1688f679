"""The control plane's web server: it can go away as if its process was killed, and come back on what is kept."""

import asyncio
from collections.abc import Awaitable, Callable

from localazure.arm.operations import Operations
from localazure.core.clock import Clock
from localazure.core.web import Connections, Web

Serving = tuple[Web, asyncio.Task[None]]


class Management:
    """Serves the control plane. The gateway and the instances are others': they live on."""

    def __init__(
        self,
        start: Callable[[], Awaitable[Serving]],
        connections: Connections,
        operations: Operations,
        resume: Callable[[], None],
        clock: Clock,
    ) -> None:
        """`start` starts a server and returns once it answers; `resume` goes on with changes that were begun."""
        self._start = start
        self._connections = connections
        self._operations = operations
        self._resume = resume
        self._clock = clock
        self._serving: Serving | None = None
        self._crash: asyncio.Task[None] | None = None
        self.returns = 0
        """How often it has come back."""

    async def open(self) -> None:
        """Begin to serve, and return once it answers."""
        self._serving = await self._start()

    async def close(self) -> None:
        """Answer what is under way, and end."""
        if self._crash:
            await self._crash
        if self._serving:
            web, serving = self._serving
            web.end()
            await serving

    def crash(self, away_s: float) -> None:
        """End at once, whatever is under way; be away for a while; then go on with what was begun."""
        if self._crash is None or self._crash.done():
            self._crash = asyncio.create_task(self._go_away(away_s), name="crash of the control plane")

    async def _go_away(self, away_s: float) -> None:
        if self._serving:
            web, serving = self._serving
            web.end(at_once=True)
            self._connections.cut_all()
            await self._operations.stop()
            await serving
            self._connections.cut_all()
        await self._clock.sleep(away_s)
        self._operations.recall()
        self._resume()
        self._operations.end_interrupted()
        await self.open()
        self.returns += 1
