"""Is a typical request slower on the candidate than on the live deployment?"""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saferollout.domain.words import plural
from saferollout.judge.batch import Batch
from saferollout.judge.betting.allowance import Allowance
from saferollout.judge.betting.bounded_mean import STAKES
from saferollout.judge.betting.counts import check_fraction, check_latencies
from saferollout.judge.betting.wealth import Wealth
from saferollout.judge.comparisons.comparison import Comparison
from saferollout.judge.comparisons.latency import Latency
from saferollout.judge.settings import Settings
from saferollout.judge.verdict import Verdict

Array = NDArray[np.float64]


def chance_of_slower(candidate: Array, live: Array) -> Array:
    """Return the share of pairs of a candidate and a live latency in which the candidate's is larger, ties half.

    That is the Mann-Whitney statistic divided by the number of pairs: ½ on average if both come from one distribution.

    Args:
        candidate: Shape (blocks, T).
        live: Shape (blocks, S).

    Returns:
        Shape (blocks,).
    """
    c, b = candidate[:, :, np.newaxis], live[:, np.newaxis, :]
    return np.asarray(((c > b).mean(axis=(1, 2)) + (c >= b).mean(axis=(1, 2))) / 2)


class LatencyShift(Comparison):
    """An anytime-valid Mann-Whitney test: the candidate's latencies against concurrent live ones, block by block.

    Of each block of `block` candidate requests and the live ones of the same time, U is the chance that the
    candidate's request is the slower one (`chance_of_slower`). If the deployments are alike, U is ½ on average whatever
    the distribution and however it drifts, so Π(1 + c(U/μ₀ − 1)) with μ₀ = ½ + margin/2 is an e-process; it is
    averaged over c in `STAKES` (betting as in Waudby-Smith & Ramdas 2023, arXiv 2010.09686). *Health* bets
    on 1 − U in the same way, against a mean of U of ½ + delta/2 or more.

    `Latency` sees what happens beyond its cut points; this test sees a shift of everything much sooner. Margin and
    delta mean the same in both: if every latency is exceeded (1 + margin) times as often, U rises by margin/2.

    As in `BoundedMean`, dependence within a block is harmless, and `gap` candidate requests after it are left out.

    Args:
        alpha: The error probability of each direction, in (0, 1).
        margin: How much slower counts as harmless, in [0, 1).
        delta: How much slower is excluded by health, above `margin`, below 1.
        block: Candidate requests a bet, at least 1.
        gap: Candidate requests left out between two bets, at least 0.
        warm_up: The candidate's requests to leave out at the start.
        reserve: The part of the harm test's wealth kept for harm that begins late, in [0, 1).
        slack: The share by which the candidate may be slower (see `Allowance`), at least 0.
        slack_ms: The time in ms by which it may be slower, whichever is larger, at least 0.

    Raises:
        ValueError: A setting lies outside its range.
    """

    name: ClassVar[str] = "latency_shift"
    section: ClassVar[str] = Latency.section
    _carried: ClassVar[tuple[str, ...]] = (
        "candidate_requests",
        "blocks",
        "_total",
        "_squares",
        "_cold",
        "_candidate",
        "_live",
    )

    def __init__(
        self,
        alpha: float = 0.05,
        margin: float = 0.0,
        delta: float = 0.5,
        *,
        block: int = 5,
        gap: int = 2,
        warm_up: int = 0,
        reserve: float = 0.25,
        slack: float = 0.0,
        slack_ms: float = 0.0,
    ) -> None:
        self.margin = check_fraction("margin", margin, closed=True)
        self.delta = check_fraction("delta", delta, low=self.margin)
        self.block = int(check_fraction("block", block, low=1, high=np.inf, closed=True))
        self.gap = int(check_fraction("gap", gap, high=np.inf, closed=True))
        self.warm_up = int(check_fraction("warm_up", warm_up, high=np.inf, closed=True))
        self.reserve = check_fraction("reserve", reserve, closed=True)
        self.allowance = Allowance(slack, slack_ms)
        even = np.full(STAKES.size, 1.0 / STAKES.size)
        super().__init__(alpha, Wealth(even, self.reserve), Wealth(even))
        self.candidate_requests = 0
        self.blocks = 0
        self._total = 0.0
        self._squares = 0.0
        #: Candidate requests still to leave out.
        self._cold = self.warm_up
        #: Latencies since the last block.
        self._candidate: list[float] = []
        self._live: list[float] = []

    @classmethod
    def from_config(cls, settings: Settings) -> Self | None:
        """Return the comparison wherever `Latency` is on: it needs no cut points, but goes with them."""
        latency = Latency.from_config(settings)
        if latency is None:
            return None
        return cls(
            settings.alpha,
            # Ranks have a scale that ends at one: beyond it no delta says anything.
            delta=min(settings.no_worse_than, 0.95),
            warm_up=latency.warm_up,
            slack=latency.allowance.share,
            slack_ms=latency.allowance.ms,
        )

    def take(self, batch: Batch) -> None:
        """Take in the latencies of both deployments."""
        self.update(batch.candidate_latencies_ms, batch.live_latencies_ms)

    def update(self, candidate_ms: ArrayLike, live_ms: ArrayLike) -> Verdict:
        """Take in the latencies of one batch in ms (shapes (T,) and (S,), each in order), return the verdict.

        A block is bet on when its gap is over, too.

        Raises:
            ValueError: A latency is negative or not finite.
        """
        candidate, live = check_latencies("candidate", candidate_ms), check_latencies("live", live_ms)
        cold = min(self._cold, candidate.size)
        self._cold -= cold
        before = self.candidate_requests - len(self._candidate)
        candidate = np.concatenate((self._candidate, self.allowance.off(candidate[cold:])))
        live = np.concatenate((self._live, live))
        self.candidate_requests = before + candidate.size
        period = self.block + self.gap
        blocks = candidate.size // period
        # Live requests are dealt out in order, in proportion; without one for each block, blocks wait.
        share = live.size * blocks * period // max(candidate.size, 1)
        blocks = min(blocks, share)
        if blocks:
            per_block = share // blocks
            chances = chance_of_slower(
                candidate[: blocks * period].reshape(blocks, period)[:, : self.block],
                live[: blocks * per_block].reshape(blocks, per_block),
            )
            candidate, live = candidate[blocks * period :], live[blocks * per_block :]
            self._bet(chances, before + period * np.arange(blocks, dtype=np.float64))
        self._candidate, self._live = candidate.tolist(), live.tolist()
        return self.verdict

    def _bet(self, chances: Array, exposure: Array) -> None:
        self.blocks += chances.size
        self._total += float(chances.sum())
        self._squares += float((chances**2).sum())
        harm, health = self._returns(chances)
        self._play(harm, health, exposure)

    def _returns(self, chances: Array) -> tuple[Array, Array]:
        u = chances[:, np.newaxis]
        low, high = 0.5 + self.margin / 2, 0.5 + self.delta / 2
        return np.log1p(STAKES * (u / low - 1.0)), np.log1p(STAKES * ((1.0 - u) / (1.0 - high) - 1.0))

    @property
    def exposure(self) -> float:
        """Candidate requests so far."""
        return float(self.candidate_requests)

    @property
    def chance(self) -> float:
        """The chance that a candidate's request is slower than a live one and the allowance, ½ without data."""
        return self._total / self.blocks if self.blocks else 0.5

    @property
    def words(self) -> str:
        """The finding in one sentence."""
        return (
            f"after {plural(self.candidate_requests, 'candidate request')} one is slower than a live one"
            f"{self.allowance} in {self.chance:.1%} of comparisons (50% if alike) (α = {self.alpha:g}): {self.verdict}"
        )

    def _growth(self) -> tuple[Array, Array]:
        if not self.blocks:
            return np.zeros(STAKES.size), np.zeros(STAKES.size)
        # The mean of a block's log-return, from two points with the mean and the spread seen.
        spread = max(self._squares / self.blocks - self.chance**2, 0.0) ** 0.5
        points = np.clip([self.chance - spread, self.chance + spread], 0.0, 1.0)
        harm, health = self._returns(points)
        return harm.mean(axis=0) / (self.block + self.gap), health.mean(axis=0) / (self.block + self.gap)

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "alpha": self.alpha,
            "margin": self.margin,
            "delta": self.delta,
            "block": self.block,
            "gap": self.gap,
            "warm_up": self.warm_up,
            "reserve": self.reserve,
            "slack": self.allowance.share,
            "slack_ms": self.allowance.ms,
        }
