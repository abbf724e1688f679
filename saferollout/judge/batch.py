"""What the judge takes in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike, NDArray

#: Labels or numbers, one for each request.
Answers = Sequence[Any] | NDArray[Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one source saw over one window of time, of both deployments. Parts that it does not have stay empty.

    Never add the counts of two sources: recorded requests may fail more often than users' do, and where users reach
    the deployments in another proportion than probes do, the sum would make a difference of the sources one of the
    deployments. As batches of their own they cannot, since the live rate may change from batch to batch.
    """

    candidate_requests: float = 0
    candidate_errors: float = 0
    live_requests: float = 0
    live_errors: float = 0
    candidate_latencies_ms: ArrayLike = ()
    live_latencies_ms: ArrayLike = ()
    disagreements: ArrayLike = ()
    """One number in [0, 1] for each pair, in order."""
    candidate_losses: ArrayLike = ()
    live_losses: ArrayLike = ()
    """Losses in [0, 1] of the same requests, in order."""
    candidate_answers: Answers = ()
    live_answers: Answers = ()
    duration_s: float = 0.0
    """How long the window was, in seconds: for the forecast only."""
    alone_requests: float = 0
    """The candidate's at a time when the live deployment was not seen: only for limits on its own error rate."""
    alone_errors: float = 0
