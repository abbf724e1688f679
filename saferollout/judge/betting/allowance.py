"""How much slower still counts as the same: without it, a millisecond that no user feels would be proven harm."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saferollout.judge.betting.counts import check_fraction

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Allowance:
    """A latency b of the live deployment allows the candidate max((1 + `share`)·b, b + `ms`), which grows with b.

    So "the candidate's latencies exceed what the live ones allow" is the same as "they exceed the live ones once the
    allowance is taken off", and every test that compares two distributions remains valid.
    """

    share: float = 0.0
    ms: float = 0.0

    def __post_init__(self) -> None:
        check_fraction("slack", self.share, high=math.inf, closed=True)
        check_fraction("slack_ms", self.ms, high=math.inf, closed=True)

    def on(self, live_ms: Array) -> Array:
        """What live latencies allow the candidate."""
        return np.maximum(live_ms * (1.0 + self.share), live_ms + self.ms)

    def off(self, candidate_ms: Array) -> Array:
        """The candidate's latencies less the allowance: the largest live ones that they exceed, at least 0."""
        return np.maximum(np.minimum(candidate_ms / (1.0 + self.share), candidate_ms - self.ms), 0.0)

    def __str__(self) -> str:
        """Return it in words, to follow *slower than a live one*; nothing if there is none."""
        parts = [f"{self.share:.0%}"] if self.share else []
        parts += [f"{self.ms:g} ms"] if self.ms else []
        return f" by more than {' and '.join(parts)}" if parts else ""
