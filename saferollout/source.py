"""Where the judge's data comes from: a source gives batches of counts, the same seconds for both deployments."""

from collections.abc import AsyncGenerator
from typing import Protocol

from saferollout.domain import Value


class Batch(Value):
    """What both deployments did in the same short while."""

    candidate_requests: int
    candidate_errors: int
    live_requests: int
    live_errors: int
    example: str = ""
    """One of the candidate's errors, in one line."""


class Source(Protocol):
    """Anything that can tell how both deployments do, until the caller stops listening."""

    def batches(self) -> AsyncGenerator[Batch, None]:
        """Batches as they come, about one a second; endless."""
        ...
