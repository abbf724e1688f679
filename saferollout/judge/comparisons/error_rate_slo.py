"""Is the candidate's error rate above or below a fixed limit?"""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from saferollout.domain.words import plural
from saferollout.judge.batch import Batch
from saferollout.judge.betting.autocorrelation import AUTOCORRELATION
from saferollout.judge.betting.counts import check_counts, check_fraction
from saferollout.judge.betting.intervals import ABOVE, BELOW, BELOW_WEIGHTS, log_returns, rate_interval
from saferollout.judge.betting.wealth import Wealth
from saferollout.judge.comparisons.comparison import Comparison
from saferollout.judge.settings import Settings
from saferollout.judge.verdict import Verdict

Array = NDArray[np.float64]


class ErrorRateSlo(Comparison):
    """An anytime-valid test on the candidate's own error rate, against a limit.

    Where neither deployment fails, no ratio of error rates can be proven; but that the candidate fails less than
    once in a hundred can. Two e-processes run at once, each with an error probability of at most α however often one
    looks: *harm* proves the rate above `slo`, *health* proves it below. Health takes
    3.5 / (slo·(1 − autocorrelation)) requests without an error at α = 0.05: with a limit of 1 % about 350 if
    requests fail independently, 500 with the default autocorrelation.

    Assumptions: the rate stays on one side of the limit, and errors are independent but for runs with a lag-1
    autocorrelation of at most `autocorrelation`.

    Args:
        alpha: The error probability of each direction, in (0, 1).
        slo: The limit on the error rate, in (0, 1).
        autocorrelation: Lag-1 autocorrelation of errors to allow for, in [0, 1).
        reserve: The part of the harm test's wealth kept for harm that begins late, in [0, 1).

    Raises:
        ValueError: A setting lies outside its range.
    """

    name: ClassVar[str] = "error_rate_slo"
    section: ClassVar[str] = "error_rate_slo"
    _carried: ClassVar[tuple[str, ...]] = ("requests", "errors")

    def __init__(
        self, alpha: float = 0.05, slo: float = 0.01, *, autocorrelation: float = AUTOCORRELATION, reserve: float = 0.25
    ) -> None:
        self.slo = check_fraction("slo", slo)
        self.autocorrelation = check_fraction("autocorrelation", autocorrelation, closed=True)
        self.reserve = check_fraction("reserve", reserve, closed=True)
        multiples = ABOVE[ABOVE * self.slo < 1.0]
        # A limit near 1 leaves no multiple in the table; the largest possible rate remains to bet on.
        self._harm_multiples = multiples if multiples.size else np.array([1.0 / self.slo])
        bets = self._harm_multiples.size
        super().__init__(alpha, Wealth(np.full(bets, 1.0 / bets), self.reserve), Wealth(BELOW_WEIGHTS))
        self.requests = 0.0
        self.errors = 0.0

    @classmethod
    def from_config(cls, settings: Settings) -> Self | None:
        """Return the comparison, or `None` if no limit is given."""
        slo = settings.comparisons.get(cls.section)
        return None if slo is None else cls(settings.alpha, slo, autocorrelation=settings.autocorrelation)

    def take(self, batch: Batch) -> None:
        """Take in the candidate's counts, those without a live counterpart, too."""
        self.update(batch.candidate_requests + batch.alone_requests, batch.candidate_errors + batch.alone_errors)

    def update(self, requests: float, errors: float) -> Verdict:
        """Take in the candidate's counts of one batch and return the verdict.

        Raises:
            ValueError: A count is negative or not finite, or errors exceed requests.
        """
        check_counts("candidate", requests, errors)
        if requests:
            self._count(np.array([requests], dtype=np.float64), np.array([errors], dtype=np.float64))
        return self.verdict

    def _count(self, requests: Array, errors: Array) -> None:
        exposure = self.requests + np.cumsum(requests) - requests
        self.requests += float(requests.sum())
        self.errors += float(errors.sum())
        self._play(
            log_returns(self.slo, self._harm_multiples, requests, errors, self.autocorrelation),
            log_returns(self.slo, BELOW, requests, errors, self.autocorrelation),
            exposure,
        )

    @property
    def exposure(self) -> float:
        """Candidate requests so far."""
        return self.requests

    @property
    def interval(self) -> tuple[float, float]:
        """The confidence sequence on the error rate at level 1 − α."""
        return rate_interval(self.errors, self.requests, self.alpha, self.autocorrelation)

    @property
    def words(self) -> str:
        """The finding in one sentence, such as *after 480 candidate requests the error rate is below 0.77% …*."""
        low, high = self.interval
        where = f"between {low:.2%} and {high:.2%}" if low > 0 else f"below {high:.2%}"
        return (
            f"after {plural(self.requests, 'candidate request')} the error rate is {where}, "
            f"the limit is {self.slo:.2%} (α = {self.alpha:g}): {self.verdict}"
        )

    def _growth(self) -> tuple[Array, Array]:
        one = np.ones(1)
        # Without an error so far the rate is taken as half an error's worth for harm, as zero for health.
        rate = (self.errors + 0.5) / (self.requests + 1.0)
        seen = self.errors / max(self.requests, 1.0)
        return (
            log_returns(self.slo, self._harm_multiples, one, one * rate, self.autocorrelation)[0],
            log_returns(self.slo, BELOW, one, one * seen, self.autocorrelation)[0],
        )

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"alpha": self.alpha, "slo": self.slo, "autocorrelation": self.autocorrelation, "reserve": self.reserve}
