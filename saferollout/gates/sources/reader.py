"""Reader: several sources read at once, each tried again by itself when it fails."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Self

from saferollout.domain.errors import AzureFailed
from saferollout.gates.sources.source import Seen, Source

RETRY_DELAYS_S = (1.0, 2.0, 4.0, 8.0, 16.0)
SLACK_S = 5.0
"""How late a source may be on a busy machine."""


class Reader:
    """What all sources see, one after the other, in the order in which it comes.

    A source that fails is read again after each of `retry_delays_s` in turn, beginning with the first whenever it has
    reported something; after the last one, or where no retry helps, it is given up.
    """

    def __init__(self, sources: Sequence[Source], retry_delays_s: Sequence[float] = RETRY_DELAYS_S) -> None:
        self._sources = sources
        self._delays_s = retry_delays_s
        self._queue: asyncio.Queue[tuple[str, Seen]] = asyncio.Queue(maxsize=1)
        self._batch_at = {source.name: -math.inf for source in sources}
        self._requests_at = dict(self._batch_at)
        self._tasks: list[asyncio.Task[None]] = []
        self.heard = {source.name: 0.0 for source in sources}
        """How many of the candidate's requests each source has reported."""
        self.distinct: dict[str, int] = {}
        """How many different requests each source repeats, of those that do."""
        self.users = {source.name: Counter[str]() for source in sources}
        """The users' requests by deployment that each source has counted."""
        self.troubles: dict[str, str] = {}
        """Why a source has no data, by the source's name: those that are being retried, and those given up."""

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._follow(source)) for source in self._sources]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def complete(self) -> bool:
        """Whether something was heard, and of each source that works."""
        waiting = [name for name, requests in self.heard.items() if not requests]
        return len(waiting) < len(self.heard) and all(name in self.troubles for name in waiting)

    @property
    def patience_s(self) -> float:
        """How long nothing may be reported, in seconds, while sources are as quick as they are when all is well."""
        return min((source.interval_s for source in self._sources), default=0.0) + SLACK_S

    @property
    def fresh(self) -> bool:
        """Whether each source that is not in trouble has reported the last moments, and one at least requests."""
        now = time.monotonic()
        since = {source.name: now - source.interval_s - SLACK_S for source in self._sources}
        return any(self._requests_at[name] >= moment for name, moment in since.items()) and all(
            name in self.troubles or self._batch_at[name] >= moment for name, moment in since.items()
        )

    @property
    def over(self) -> bool:
        """Whether every source has been given up, and all that they reported was read."""
        return self._queue.empty() and all(task.done() for task in self._tasks)

    async def next(self, timeout_s: float) -> Seen | None:
        """What comes next; None when nothing came for so long, or nothing more will come."""
        coming = asyncio.create_task(self._queue.get())
        running = [task for task in self._tasks if not task.done()]
        try:
            await asyncio.wait([coming, *running], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            for task in self._tasks:
                if task.done():
                    task.result()  # a source's bug is not Azure's trouble: raised
            return self._note(*coming.result()) if coming.done() else None
        finally:
            coming.cancel()

    def _note(self, name: str, seen: Seen) -> Seen:
        self._batch_at[name] = seen.at
        if seen.batch.candidate_requests or seen.batch.alone_requests:
            self._requests_at[name] = seen.at
        return seen

    async def _follow(self, source: Source) -> None:
        failures = 0
        while True:
            try:
                async with aclosing(source.batches()) as batches:
                    async for seen in batches:
                        requests = seen.batch.candidate_requests + seen.batch.alone_requests
                        if requests:  # silence cures nothing
                            failures = 0
                            self.troubles.pop(source.name, None)
                        self.heard[source.name] += requests
                        self.users[source.name].update(seen.users)
                        if seen.distinct is not None:
                            self.distinct[source.name] = seen.distinct
                        await self._queue.put((source.name, seen))
                return
            except AzureFailed as error:
                self.troubles[source.name] = str(error)
                again = error.retryable or error.status == 401  # begun anew, a source signs in anew
                if not again or failures == len(self._delays_s):
                    return
                await asyncio.sleep(self._delays_s[failures])
                failures += 1
