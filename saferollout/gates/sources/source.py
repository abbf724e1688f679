"""A source reports what both deployments did, the same seconds of each."""

import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from saferollout.judge import Batch


@dataclass(frozen=True)
class Seen:
    """What a source saw during a short while."""

    batch: Batch
    example: str = ""
    """One of the candidate's errors, in one line."""
    lacking: tuple[str, ...] | None = None
    """The configured comparisons of answers that this source had nothing for so far, each with the reason; None from a
    source that has no answers."""
    distinct: int | None = None
    """How many different requests this source repeats; None from a source of users' requests."""
    users: Mapping[str, float] = field(default_factory=dict)
    """The users' requests by deployment; empty from a source of recorded requests."""
    at: float = field(default_factory=time.monotonic)
    """When it was seen, on the monotonic clock, in seconds."""


class Source(Protocol):
    """Anything that can report how both deployments do, until the caller stops listening."""

    @property
    def name(self) -> str:
        """What to call it."""
        ...

    @property
    def interval_s(self) -> float:
        """How far apart its batches are while it works, in seconds."""
        ...

    def batches(self) -> AsyncGenerator[Seen, None]:
        """Yield what is seen, as it comes, without end; called again, it starts afresh.

        Raises:
            AzureFailed: It has no data, which is not evidence.
        """
        ...
