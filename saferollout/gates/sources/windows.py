"""Windows of time that are over, and reported completely."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def utc_now() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)


class Windows:
    """One window of time after the other, from the first whole one on; each is ripe once what is late has come in."""

    def __init__(self, length_s: int, delay_s: float, clock: Callable[[], datetime] = utc_now) -> None:
        """`length_s` divides a minute, or is one; `delay_s` is what ingestion takes."""
        self._length = timedelta(seconds=length_s)
        self._delay = timedelta(seconds=delay_s)
        self._clock = clock
        now = clock()
        past = timedelta(seconds=now.second % length_s, microseconds=now.microsecond)
        self.start = now - past + self._length
        """The beginning of the first one that is not done yet."""

    @property
    def end(self) -> datetime:
        """When the window ends that is not done yet."""
        return self.start + self._length

    async def ripe(self) -> None:
        """Wait until everything that happened in it can be known."""
        await asyncio.sleep(max(0.0, (self.end + self._delay - self._clock()).total_seconds()))

    def done(self) -> None:
        """Go on with the next one."""
        self.start = self.end
