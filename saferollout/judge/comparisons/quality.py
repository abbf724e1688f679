"""Does the candidate answer worse than the live deployment, measured against the true answers?"""

import math
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saferollout.domain.words import plural
from saferollout.judge.batch import Batch
from saferollout.judge.betting.autocorrelation import AUTOCORRELATION, allow_for_runs
from saferollout.judge.betting.bounded_mean import check_values
from saferollout.judge.betting.counts import check_fraction
from saferollout.judge.betting.event_rates import HARM_RATIOS
from saferollout.judge.betting.intervals import limit_between
from saferollout.judge.betting.wealth import Wealth
from saferollout.judge.comparisons.comparison import Comparison
from saferollout.judge.settings import Settings
from saferollout.judge.verdict import Verdict

Array = NDArray[np.float64]

#: What the harm test bets the ratio of worse to better to be, and the health test (the other way round).
_HARM = HARM_RATIOS
_HEALTH = 1.0 / HARM_RATIOS
_ROUND = 64
#: How far above the margin the increase lies that health excludes, where the config gives the margin alone.
_HEALTH_ABOVE_MARGIN = 0.02


def log_returns(ratios: Array, worse: Array, better: Array, limit: ArrayLike, autocorrelation: float) -> Array:
    """Return what pairs add to the log-wealth of bets that losses are `ratios` times more often worse than better.

    With a = 2θ/(θ+1) and b = 2/(θ+1) = 2 − a, and the loss difference D = D⁺ − D⁻ in [−1, 1], the bet multiplies by
    a^D⁺ · b^D⁻ ≤ 1 + (a−1)·D, whose mean is 1 + (a−1)·E[D]; exp(−(a−1)·m) sets that against a limit m on E[D]. Pairs
    on which both do equally well cost nothing, so it is as sharp as a sign test where the losses are 0 and 1.

    Args:
        ratios: θ, shape (J,), all above 1 (for harm) or all below (for health).
        worse: D⁺, shape (T,).
        better: D⁻, shape (T,).
        limit: m, times n where a row holds the sums over n pairs; a number or shape (T,).
        autocorrelation: Lag-1 autocorrelation to allow for, in [0, 1).

    Returns:
        Shape (T, J).
    """
    a = 2.0 * ratios / (ratios + 1.0)
    log_a, log_b = np.log(allow_for_runs(a, autocorrelation)), np.log(allow_for_runs(2.0 - a, autocorrelation))
    drift = np.asarray(limit, dtype=np.float64)[..., np.newaxis] * ((1.0 - a) * (1.0 - autocorrelation))
    return worse[:, np.newaxis] * log_a + better[:, np.newaxis] * log_b + drift


class Quality(Comparison):
    """An anytime-valid test on requests with a known true answer that both deployments answered.

    Each answer has a loss in [0, 1] (0 right and 1 wrong, or an error divided by the largest that matters). *Harm*:
    the candidate's mean loss exceeds the live one by more than `margin`; *health*: by less than `tolerance`.

    Assumption: differences of losses are independent but for runs with a lag-1 autocorrelation of at most
    `autocorrelation`.

    Args:
        alpha: The error probability of each direction, in (0, 1).
        margin: The increase of the mean loss that is still harmless, in [0, 1).
        tolerance: The increase that health excludes, above `margin`, at most 1.
        autocorrelation: Lag-1 autocorrelation to allow for, in [0, 1).
        reserve: The part of the harm test's wealth kept for harm that begins late, in [0, 1).

    Raises:
        ValueError: A setting lies outside its range.
    """

    name: ClassVar[str] = "quality"
    section: ClassVar[str] = "quality"
    _carried: ClassVar[tuple[str, ...]] = ("pairs", "worse", "better", "candidate_loss", "live_loss")

    def __init__(
        self,
        alpha: float = 0.05,
        margin: float = 0.0,
        tolerance: float = 0.02,
        *,
        autocorrelation: float = AUTOCORRELATION,
        reserve: float = 0.25,
    ) -> None:
        self.margin = check_fraction("margin", margin, closed=True)
        self.tolerance = check_fraction("tolerance", tolerance, low=self.margin, high=math.nextafter(1.0, 2.0))
        self.autocorrelation = check_fraction("autocorrelation", autocorrelation, closed=True)
        self.reserve = check_fraction("reserve", reserve, closed=True)
        even = np.full(_HARM.size, 1.0 / _HARM.size)
        super().__init__(alpha, Wealth(even, self.reserve), Wealth(even))
        self.pairs = 0
        #: Sums of max(D, 0) and max(−D, 0) with D the candidate's loss less the live one.
        self.worse = 0.0
        self.better = 0.0
        self.candidate_loss = 0.0
        self.live_loss = 0.0

    @classmethod
    def from_config(cls, settings: Settings) -> Self | None:
        """Return the comparison, or `None` if it is off."""
        section = settings.comparisons.get(cls.section)
        if section is None:
            return None
        tolerance = section["margin"] + _HEALTH_ABOVE_MARGIN
        return cls(settings.alpha, tolerance=tolerance, autocorrelation=settings.autocorrelation, **section)

    def take(self, batch: Batch) -> None:
        """Take in the losses of pairs."""
        self.update(batch.candidate_losses, batch.live_losses)

    def update(self, candidate_losses: ArrayLike, live_losses: ArrayLike) -> Verdict:
        """Take in the losses of pairs in order, each of shape (T,), and return the verdict.

        Raises:
            ValueError: A loss is not a number in [0, 1], or the shapes differ.
        """
        candidate = check_values("candidate losses", candidate_losses)
        live = check_values("live losses", live_losses)
        if candidate.shape != live.shape:
            msg = f"candidate and live must have as many losses, not {candidate.size} and {live.size}"
            raise ValueError(msg)
        if not candidate.size:
            return self.verdict
        # Pairs are bet on in rounds of up to 64: the wealth after a round does not depend on how it is cut.
        starts = np.arange(0, candidate.size, _ROUND)
        sizes = np.minimum(candidate.size - starts, _ROUND)
        difference = candidate - live
        worse = np.add.reduceat(np.maximum(difference, 0.0), starts)
        better = np.add.reduceat(np.maximum(-difference, 0.0), starts)
        exposure = self.pairs + starts.astype(np.float64)
        self.pairs += candidate.size
        self.worse += float(worse.sum())
        self.better += float(better.sum())
        self.candidate_loss += float(candidate.sum())
        self.live_loss += float(live.sum())
        self._play(
            log_returns(_HARM, worse, better, self.margin * sizes, self.autocorrelation),
            log_returns(_HEALTH, worse, better, self.tolerance * sizes, self.autocorrelation),
            exposure,
        )
        return self.verdict

    @property
    def exposure(self) -> float:
        """How many pairs of answers have been compared so far."""
        return float(self.pairs)

    @property
    def difference(self) -> float:
        """The candidate's mean loss less the live one, 0 without pairs."""
        return (self.worse - self.better) / self.pairs if self.pairs else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper limit on the difference of mean losses, each of which holds at all times with 1 − α."""
        if not self.pairs:
            return -1.0, 1.0
        # The drift is linear in the limit, so that T pairs cost T times the drift of one.
        worse, better = np.array([self.worse]), np.array([self.better])

        def rejects(limit: float, ratios: Array) -> bool:
            logs = log_returns(ratios, worse, better, self.pairs * limit, self.autocorrelation)[0]
            return float(np.logaddexp.reduce(logs)) - math.log(ratios.size) >= self._log_alarm

        return (
            limit_between(-1.0, self.difference, lambda limit: rejects(limit, _HARM)),
            limit_between(1.0, self.difference, lambda limit: rejects(limit, _HEALTH)),
        )

    @property
    def words(self) -> str:
        """The finding in one sentence."""
        low, high = self.interval
        pairs = max(self.pairs, 1)
        return (
            f"after {plural(self.pairs, 'answer')} with a known truth the mean loss is "
            f"{self.candidate_loss / pairs:.3g} against {self.live_loss / pairs:.3g}, a difference of "
            f"{low:+.3g} to {high:+.3g} (α = {self.alpha:g}): {self.verdict}"
        )

    def _growth(self) -> tuple[Array, Array]:
        pairs = max(self.pairs, 1)
        worse, better = np.array([self.worse / pairs]), np.array([self.better / pairs])
        return (
            log_returns(_HARM, worse, better, self.margin, self.autocorrelation)[0],
            log_returns(_HEALTH, worse, better, self.tolerance, self.autocorrelation)[0],
        )

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "alpha": self.alpha,
            "margin": self.margin,
            "tolerance": self.tolerance,
            "autocorrelation": self.autocorrelation,
            "reserve": self.reserve,
        }
