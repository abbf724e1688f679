"""Progress: a bar in Prefect's UI, updated in place and not more often than it can be seen."""

import re
import time
from uuid import UUID

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

from tasks.artifacts import shown

EVERY_S = 2.0


class Progress:
    """One progress artifact of the run that it is made in."""

    def __init__(self, name: str) -> None:
        self._key = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        self._artifact: UUID | None = None
        self._shown_at = 0.0

    async def show(self, share: float, text: str) -> None:
        """Show that ``share`` (0 to 1) is done; the end is always shown, others at most every two seconds."""
        if share < 1 and time.monotonic() < self._shown_at + EVERY_S:
            return
        self._shown_at = time.monotonic()
        percent = round(share * 100, 1)
        if self._artifact is None:
            self._artifact = await shown(
                acreate_progress_artifact(progress=percent, key=self._key, description=text)
            )  # fmt: skip
        else:
            await shown(aupdate_progress_artifact(self._artifact, progress=percent, description=text))
