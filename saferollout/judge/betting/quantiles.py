"""Quantiles of latency with bands that hold at all times, from a histogram of constant size."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

#: Bucket borders in ms: 2 % apart, from 0.1 ms to about 20 minutes.
EDGES_MS = 0.1 * 1.02 ** np.arange(824)


def count_band(requests: float, p: float, alpha: float, prior: float = 100.0) -> tuple[float, float]:
    """Return between which counts of values at or below the p-quantile the truth lies, at all times at once.

    Of n independent values, Binomial(n, p) lie at or below the p-quantile. Against the mixture of all other
    probabilities, with weights Beta(p·v, (1−p)·v), the likelihood ratio is
    B(k + pv, n − k + (1−p)v) / (B(pv, (1−p)v) · p^k (1−p)^(n−k)), an e-process; the counts k at which it stays below
    1/α make the band (the beta-binomial mixture of Howard & Ramdas 2022, arXiv 1906.09712).

    Args:
        requests: n.
        p: Which quantile, in (0, 1).
        alpha: The chance that the band ever misses, in (0, 1).
        prior: v, in values: the band is tightest at about that n.

    Returns:
        The smallest and the largest count that are not rejected.
    """
    a, b = p * prior, (1.0 - p) * prior
    start = math.lgamma(a) + math.lgamma(b) - math.lgamma(prior) + math.lgamma(prior + requests)

    def rejected(count: float) -> bool:
        log_e = math.lgamma(count + a) + math.lgamma(requests - count + b) - start
        return log_e - count * math.log(p) - (requests - count) * math.log1p(-p) >= -math.log(alpha)

    def edge(far: float) -> float:
        near = p * requests
        if not rejected(far):
            return far
        while abs(far - near) > 0.5:
            middle = (near + far) / 2
            near, far = (near, middle) if rejected(middle) else (middle, far)
        return near

    return edge(0.0), edge(requests)


class LatencyHistogram:
    """Latencies of one deployment, counted in buckets 2 % wide."""

    def __init__(self) -> None:
        self._counts = np.zeros(EDGES_MS.size + 1)
        self._waiting: list[Array] = []
        self._waiting_values = 0

    def add(self, latencies_ms: ArrayLike) -> None:
        """Count latencies, in ms, shape (T,)."""
        values = np.asarray(latencies_ms, dtype=np.float64)
        self._waiting.append(values)
        self._waiting_values += values.size
        if self._waiting_values > 4096:  # counting a few at a time would cost more than the test itself
            self._work_off()

    def _work_off(self) -> None:
        if self._waiting:
            buckets = np.searchsorted(EDGES_MS, np.concatenate(self._waiting))
            self._counts += np.bincount(buckets, minlength=self._counts.size)
            self._waiting, self._waiting_values = [], 0

    @property
    def counts(self) -> Array:
        """How many latencies each bucket holds, from below the first of `EDGES_MS` to above the last."""
        self._work_off()
        return self._counts

    @property
    def requests(self) -> float:
        """How many were counted."""
        return float(self.counts.sum())

    def quantile(self, p: float) -> float:
        """Return the p-quantile in ms, to within the 2 % of a bucket; NaN without data."""
        return self._at_count(p * self.requests) if self.requests else math.nan

    def band(self, p: float, alpha: float = 0.05) -> tuple[float, float]:
        """Return limits in ms that contain the p-quantile at all times with probability 1 − α: (0, inf) without data.

        For plots only: it takes latencies as independent of each other, which the verdict does not.
        """
        n = self.requests
        if not n:
            return 0.0, math.inf
        low, high = count_band(n, p, alpha)
        return (
            0.0 if low < 1 else self._at_count(low) / 1.02,
            math.inf if high >= n else self._at_count(high + 1),
        )

    def _at_count(self, count: float) -> float:
        """The upper border of the bucket in which the count-th smallest latency lies."""
        bucket = int(np.searchsorted(np.cumsum(self.counts), count))
        return float(EDGES_MS[min(bucket, EDGES_MS.size - 1)])

    def state(self) -> dict[str, Any]:
        """Return the buckets that are not empty, in JSON's types."""
        return {str(index): self.counts[index].item() for index in np.flatnonzero(self.counts)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self._work_off()
        self._counts = np.zeros(EDGES_MS.size + 1)
        for index, count in state.items():
            self._counts[int(index)] = count
