"""Is the candidate's error rate above or below a fixed limit?"""

import math
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saferollout.judge.clumps import CLUMPING, declump
from saferollout.judge.counts import check_count_arrays, check_counts, check_fraction
from saferollout.judge.verdict import Verdict
from saferollout.judge.wealth import Wealth, as_e_value

Array = NDArray[np.float64]

#: How many times the limit the harm test bets the rate to be.
HARM_MULTIPLES = np.array([1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 40.0])
#: How many times the limit the health test bets the rate to be, and its split. Most of it is on no errors at all.
HEALTH_MULTIPLES = np.array([0.0, 1 / 8, 1 / 4, 1 / 2])
HEALTH_WEIGHTS = np.array([0.55, 0.15, 0.15, 0.15])


def log_returns(limit: float, multiples: Array, requests: Array, errors: Array, clumping: float) -> Array:
    """Return what batches add to the log-wealth of bets that the rate is `multiples` times the `limit`.

    For a multiple m, n requests and e errors: −(m−1)·s·(1−r)·n + e·log m', with s the limit, r the clumping and m'
    the declumped m. It is the likelihood ratio of two Poisson processes of error runs. For Bernoulli errors of rate q
    the batch's mean is (1+q(m−1))^n · exp(−ns(m−1)) ≤ exp(n(q−s)(m−1)) (at r = 0), at most one on the null's side.

    Args:
        limit: The limit s on the error rate.
        multiples: m, shape (J,); all above 1 (for harm) or all below (for health).
        requests: n, shape (T,).
        errors: e, shape (T,).
        clumping: r, in [0, 1).

    Returns:
        Shape (T, J).
    """
    drift = (1.0 - multiples) * limit * (1.0 - clumping)
    with np.errstate(divide="ignore"):  # a bet on no errors at all is lost with the first one: log 0 = −∞
        log_m = np.log(declump(multiples, clumping))
    log_m = np.maximum(log_m, -1e6)  # finite, so that no errors times −∞ is zero and not NaN
    return requests[:, np.newaxis] * drift + errors[:, np.newaxis] * log_m


class ErrorRateSlo:
    """An anytime-valid test on the candidate's own error rate, against a limit.

    Where neither deployment fails, no ratio of error rates can be proven; but that the candidate fails less than
    once in a hundred can. Two e-processes run at once, each with an error probability of at most α however often one
    looks: *harm* proves the rate above `slo`, *health* proves it below. Harm is final, health follows the current
    e-value (see `saferollout.judge.rate_ratio.RateRatio`). Health takes about ln(1/(0.55·α)) / (slo·(1 − clumping))
    requests without an error: at α = 0.05 and 1 % 340 if requests fail independently, 480 with the default clumping.

    Assumptions: the rate stays on one side of the limit, and errors are independent but for runs with a lag-1
    autocorrelation of at most `clumping`.

    Args:
        alpha: The error probability of each direction, in (0, 1).
        slo: The limit on the error rate, in (0, 1).
        clumping: Lag-1 autocorrelation of errors to allow for, in [0, 1).
        reserve: The part of the harm test's wealth kept for harm that begins late, in [0, 1).

    Raises:
        ValueError: A setting lies outside its range.
    """

    def __init__(
        self, alpha: float = 0.05, slo: float = 0.01, *, clumping: float = CLUMPING, reserve: float = 0.25
    ) -> None:
        self.alpha = check_fraction("alpha", alpha)
        self.slo = check_fraction("slo", slo)
        self.clumping = check_fraction("clumping", clumping, closed=True)
        self.reserve = check_fraction("reserve", reserve, closed=True)
        multiples = HARM_MULTIPLES[HARM_MULTIPLES * self.slo < 1.0]
        # A limit near 1 leaves no multiple in the table; the largest possible rate remains to bet on.
        self._harm_multiples = multiples if multiples.size else np.array([1.0 / self.slo])
        self._harm = Wealth(np.full(self._harm_multiples.size, 1.0 / self._harm_multiples.size), self.reserve)
        self._health = Wealth(HEALTH_WEIGHTS)
        self._is_harmful = False
        self.requests = 0.0
        self.errors = 0.0

    def update(self, requests: float, errors: float) -> Verdict:
        """Take in the candidate's counts of one batch and return the verdict.

        Raises:
            ValueError: A count is negative or not finite, or errors exceed requests.
        """
        check_counts("candidate", requests, errors)
        if requests:
            self._advance(np.array([requests], dtype=np.float64), np.array([errors], dtype=np.float64))
        return self.verdict

    def update_many(self, requests: ArrayLike, errors: ArrayLike) -> Verdict:
        """Take in T batches in order, each argument of shape (T,); the same as T calls of `update`, but faster.

        Raises:
            ValueError: As `update`, or the shapes differ.
        """
        n, e = check_count_arrays("candidate", requests, errors)
        if n.size:
            self._advance(n, e)
        return self.verdict

    def _advance(self, requests: Array, errors: Array) -> None:
        exposure = self.requests + np.cumsum(requests) - requests
        self.requests += float(requests.sum())
        self.errors += float(errors.sum())
        returns = log_returns(self.slo, self._harm_multiples, requests, errors, self.clumping)
        path = self._harm.advance(returns, exposure)
        if path.max() >= -math.log(self.alpha):
            self._is_harmful = True
        returns = log_returns(self.slo, HEALTH_MULTIPLES, requests, errors, self.clumping)
        self._health.advance(returns, exposure)

    @property
    def verdict(self) -> Verdict:
        """What the counts so far prove."""
        if self._is_harmful:
            return Verdict.HARMFUL
        if self._health.log_e >= -math.log(self.alpha):
            return Verdict.HEALTHY
        return Verdict.UNDECIDED

    @property
    def log_e_value(self) -> float:
        """The logarithm of `e_value`."""
        return self._harm.log_e

    @property
    def e_value(self) -> float:
        """The evidence now that the rate is above the limit."""
        return as_e_value(self._harm.log_e)

    @property
    def log_e_value_healthy(self) -> float:
        """The logarithm of `e_value_healthy`."""
        return self._health.log_e

    @property
    def e_value_healthy(self) -> float:
        """The evidence now that the rate is below the limit."""
        return as_e_value(self._health.log_e)

    def to_dict(self) -> dict[str, Any]:
        """Return settings and state in JSON's types; `from_dict` goes on from there."""
        return {
            "alpha": self.alpha,
            "slo": self.slo,
            "clumping": self.clumping,
            "reserve": self.reserve,
            "totals": [self.requests, self.errors],
            "is_harmful": self._is_harmful,
            "harm": self._harm.state(),
            "health": self._health.state(),
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Return the test whose `to_dict` gave `state`.

        Raises:
            KeyError: The state is incomplete.
            ValueError: The state is not of such a test.
        """
        test = cls(state["alpha"], state["slo"], clumping=state["clumping"], reserve=state["reserve"])
        test.requests, test.errors = state["totals"]
        test._is_harmful = bool(state["is_harmful"])
        test._harm.restore(state["harm"])
        test._health.restore(state["health"])
        return test
