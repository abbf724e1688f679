"""Is the mean of values in [0, 1] above or below a limit?"""

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saferollout.domain.words import plural
from saferollout.judge.betting.autocorrelation import AUTOCORRELATION
from saferollout.judge.betting.counts import check_fraction
from saferollout.judge.betting.intervals import BELOW, BELOW_WEIGHTS, log_returns, rate_interval
from saferollout.judge.betting.two_sided import TwoSided
from saferollout.judge.betting.wealth import Wealth
from saferollout.judge.verdict import Verdict

Array = NDArray[np.float64]

#: The shares of the wealth that the bets on harm put at risk each round, c = λm in the paper's terms.
STAKES = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9])


def check_values(name: str, values: ArrayLike) -> Array:
    """Return `values` as an array of shape (T,).

    Raises:
        ValueError: A value is not a number in [0, 1], or the shape is another one.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1:
        msg = f"{name} must be of shape (T,), not {x.shape}"
        raise ValueError(msg)
    wrong = ~((x >= 0) & (x <= 1))  # also true for NaN
    if wrong.any():
        msg = f"{name} must lie in [0, 1], not {float(x[wrong][0])!r}"
        raise ValueError(msg)
    return x


class BoundedMean(TwoSided):
    """An anytime-valid test on the mean of values D in [0, 1], against a limit m, by betting.

    *Harm*, mean > m: the capital process Π(1 + λ(D̄ − m)) of Waudby-Smith & Ramdas 2023 (arXiv 2010.09686), averaged
    over fixed λ = c/m with c in `STAKES`. Fixed bets are predictable; averaging over them does nearly as well as the
    best of them in hindsight, without a rule for choosing λ, and makes small spread pay: the less D scatters, the
    larger the bet that wins.

    Values that come one after the other resemble each other. A bet on each would be unfair then, so values are bet on
    as means D̄ of blocks of `block` in a row, with `gap` values between blocks left out: within a block any dependence
    is harmless (only the mean of D̄ counts), and with lag-1 autocorrelation 0.3 the next block, three values on, hardly
    remembers the last (0.3³ = 0.03).

    *Health*, mean < m: the bets of `saferollout.judge.comparisons.error_rate_slo`, with the sum of D for the errors; as
    a^D ≤ 1 + D(a − 1) for D in [0, 1] they hold for fractions, too.

    Assumptions: given the past, the mean stays on one side of the limit, and dependence is short.

    Args:
        alpha: The error probability of each direction, in (0, 1).
        limit: m, in (0, 1).
        block: Values a bet, at least 1.
        gap: Values left out between two blocks, at least 0.
        autocorrelation: Lag-1 autocorrelation that the health test allows for, in [0, 1).
        reserve: The part of the harm test's wealth kept for harm that begins late, in [0, 1).

    Raises:
        ValueError: A setting lies outside its range.
    """

    _carried: ClassVar[tuple[str, ...]] = ("count", "total", "_blocks", "_block_squares", "_open")

    def __init__(
        self,
        alpha: float = 0.05,
        limit: float = 0.05,
        *,
        block: int = 10,
        gap: int = 2,
        autocorrelation: float = AUTOCORRELATION,
        reserve: float = 0.25,
    ) -> None:
        self.limit = check_fraction("limit", limit)
        self.block = int(check_fraction("block", block, low=1, high=math.inf, closed=True))
        self.gap = int(check_fraction("gap", gap, high=math.inf, closed=True))
        self.autocorrelation = check_fraction("autocorrelation", autocorrelation, closed=True)
        self.reserve = check_fraction("reserve", reserve, closed=True)
        super().__init__(alpha, Wealth(np.full(STAKES.size, 1.0 / STAKES.size), self.reserve), Wealth(BELOW_WEIGHTS))
        self.count = 0
        self.total = 0.0
        self._blocks = 0
        self._block_squares = 0.0
        #: Values since the last complete block, its gap included.
        self._open: list[float] = []

    def update(self, values: ArrayLike) -> Verdict:
        """Take in values in order, shape (T,), and return the verdict.

        Raises:
            ValueError: A value is not a number in [0, 1].
        """
        x = check_values("values", values)
        if not x.size:
            return self.verdict
        done = self.count - len(self._open)
        self.count += x.size
        self.total += float(x.sum())
        self._health.advance(
            log_returns(self.limit, BELOW, np.array([float(x.size)]), x.sum(keepdims=True), self.autocorrelation),
            np.array([0.0]),
        )
        x = np.concatenate((self._open, x))
        period = self.block + self.gap
        # A block is bet on when it is full; its gap may still be open.
        blocks = (x.size + self.gap) // period
        already = 1 if len(self._open) >= self.block else 0
        ends = min(blocks * period, x.size)
        if blocks > already:
            padded = np.zeros(blocks * period)
            padded[:ends] = x[:ends]
            means = padded.reshape(blocks, period)[already:, : self.block].mean(axis=1)
            self._blocks += means.size
            self._block_squares += float((means**2).sum())
            returns = np.log1p(STAKES * (means[:, np.newaxis] / self.limit - 1.0))
            exposure = done + period * np.arange(already, blocks, dtype=np.float64)
            self._play(returns, np.empty((0, BELOW.size)), exposure)
        self._open = x[(x.size // period) * period :].tolist()
        return self.verdict

    @property
    def exposure(self) -> float:
        """How many values have been seen so far."""
        return float(self.count)

    @property
    def mean(self) -> float:
        """The mean of the values so far, 0 without any."""
        return self.total / self.count if self.count else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper limit on the mean, each of which holds at all times with probability 1 − α."""
        return rate_interval(self.total, self.count, self.alpha, self.autocorrelation)

    @property
    def words(self) -> str:
        """The finding in one sentence."""
        low, high = self.interval
        return (
            f"after {plural(self.count, 'value')} the mean is {self.mean:.3g} ({low:.3g}–{high:.3g}), "
            f"the limit is {self.limit:g} (α = {self.alpha:g}): {self.verdict}"
        )

    def _growth(self) -> tuple[Array, Array]:
        # To second order around the mean: E log(1 + c(D̄/m − 1)) ≈ log y − ½ (c/m)² Var(D̄) / y², y = 1 + c(mean/m − 1).
        y = 1.0 + STAKES * (self.mean / self.limit - 1.0)
        mean_square = self._block_squares / self._blocks if self._blocks else self.mean
        variance = max(mean_square - self.mean**2, 0.0)
        harm = (np.log(y) - 0.5 * (STAKES / self.limit) ** 2 * variance / y**2) / (self.block + self.gap)
        one = np.ones(1)
        return harm, log_returns(self.limit, BELOW, one, one * self.mean, self.autocorrelation)[0]

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "alpha": self.alpha,
            "limit": self.limit,
            "block": self.block,
            "gap": self.gap,
            "autocorrelation": self.autocorrelation,
            "reserve": self.reserve,
        }
