"""Progress: a bar in Prefect's UI, updated in place and not more often than it can be seen."""

import asyncio
import re
from types import TracebackType
from typing import Self
from uuid import UUID

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

from tasks.support.artifacts import publish

EVERY_S = 2.0


class Progress:
    """One progress artifact of the run that it is made in; whoever reports progress never waits for it."""

    def __init__(self, name: str) -> None:
        self._key = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        self._artifact: UUID | None = None
        self._latest: tuple[float, str] | None = None
        self._publishing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._publishing = asyncio.create_task(self._publish())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._publishing:
            self._publishing.cancel()
            await asyncio.gather(self._publishing, return_exceptions=True)

    def report(self, share: float, text: str) -> None:
        """Note that `share` (0 to 1) is done; it is shown when the server takes it, unless newer news came first."""
        self._latest = share, text

    async def show(self, share: float, text: str) -> None:
        """Show that `share` (0 to 1) is done, now."""
        percent = round(share * 100, 1)
        if self._artifact is None:
            (self._artifact,) = await publish(
                acreate_progress_artifact(progress=percent, key=self._key, description=text)
            )
        else:
            await publish(aupdate_progress_artifact(self._artifact, progress=percent, description=text))

    async def _publish(self) -> None:
        while True:
            if latest := self._latest:
                self._latest = None
                await self.show(*latest)
            await asyncio.sleep(EVERY_S)
