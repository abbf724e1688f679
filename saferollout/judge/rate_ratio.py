"""Does the candidate fail more often than the live deployment?"""

import math
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saferollout.judge.clumps import CLUMPING, declump
from saferollout.judge.counts import check_count_arrays, check_counts, check_fraction, merge_one_armed
from saferollout.judge.verdict import Verdict
from saferollout.judge.wealth import Wealth, as_e_value

Array = NDArray[np.float64]

#: Rate ratios that harm may have; the mixture bets on each of them alike.
HARM_RATIOS = np.array([1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 40.0])
#: Rate ratios that health may have (the same rate, or a better one), and how the bets are split over them.
HEALTH_RATIOS = np.array([1.0, 0.5, 0.1])
HEALTH_WEIGHTS = np.array([0.5, 0.25, 0.25])


def log_bets(null: ArrayLike, alternative: ArrayLike, share: ArrayLike, clumping: float) -> tuple[Array, Array]:
    """Return what one candidate error and one live error add to log E(θ₁, θ₀).

    With ρ the candidate's share of a batch's requests and d(θ) = ρθ + 1 − ρ, an error is the candidate's with
    probability ρθ/d(θ). The likelihood ratio of θ₁ against θ₀ is a = (θ₁/d(θ₁)) / (θ₀/d(θ₀)) for a candidate's
    error and b = d(θ₀)/d(θ₁) for a live one (cf. Lindon & Malek 2022, arXiv 2011.03567); both are then made safe
    against clumps (`saferollout.judge.clumps`).

    Whatever the live rate p of the batch: under a rate ratio θ ≤ θ₀ < θ₁ the batch multiplies E by
    (1 + θp(a−1))^n_c · (1 + p(b−1))^n_b ≤ exp(n·p·[ρθ(a−1) + (1−ρ)(b−1)]) on average, and the bracket is zero at
    θ = θ₀ and negative below. So the test needs no knowledge of p, and p may change from batch to batch.

    Args:
        null: θ₀.
        alternative: θ₁.
        share: ρ, strictly between 0 and 1.
        clumping: Lag-1 autocorrelation to allow for, in [0, 1).

    Returns:
        log a' and log b' in the shape that the first three arguments broadcast to.
    """
    theta0, theta1, rho = (np.asarray(value, dtype=np.float64) for value in (null, alternative, share))
    d0 = 1.0 + rho * (theta0 - 1.0)
    d1 = 1.0 + rho * (theta1 - 1.0)
    b = d0 / d1
    a = b * (theta1 / theta0)
    return np.log(declump(a, clumping)), np.log(declump(b, clumping))


class RateRatio:
    """An anytime-valid test on the ratio θ of two error rates: the candidate's over the live deployment's.

    Two e-processes run at once:

    - *harm* tests θ ≤ 1 + `margin` against the mixture of `HARM_RATIOS` (those above the null). It reaches 1/α with
      probability at most α if the candidate is no worse than the margin allows, however long one watches.
    - *health* tests θ ≥ 1 + `delta` against `HEALTH_RATIOS`. It stands at 1/α or above with probability at most α,
      at any time, if the candidate really is that bad or worse.

    Harm is final: once its e-value has reached 1/α the verdict stays ``harmful``. Health is not: it follows the current
    e-value, so that a candidate which was healthy and turns bad loses the verdict at once and becomes harmful when
    that is shown. The two directions have α each.

    Assumptions: within a batch the two deployments face the same mix of requests, so keep batches short (the base rate
    may change from batch to batch, freely), and errors of one deployment are independent but for runs with a lag-1
    autocorrelation of at most `clumping`.

    Args:
        alpha: The error probability of each direction, in (0, 1).
        margin: How much worse counts as harmless: harm is a ratio above 1 + margin. At least 0.
        delta: How much worse is excluded by health: a ratio below 1 + delta is proven. Above `margin`.
        clumping: Lag-1 autocorrelation of errors to allow for, in [0, 1). With 0 (and `reserve` 0) log E is the plain
            log-likelihood ratio, averaged over θ₁.
        reserve: The part of the harm test's wealth kept for harm that begins late, in [0, 1).

    Raises:
        ValueError: A setting lies outside its range.
    """

    def __init__(
        self,
        alpha: float = 0.05,
        margin: float = 0.0,
        delta: float = 0.5,
        *,
        clumping: float = CLUMPING,
        reserve: float = 0.25,
    ) -> None:
        self.alpha = check_fraction("alpha", alpha)
        self.margin = check_fraction("margin", margin, high=math.inf, closed=True)
        self.delta = check_fraction("delta", delta, low=self.margin, high=math.inf)
        self.clumping = check_fraction("clumping", clumping, closed=True)
        self.reserve = check_fraction("reserve", reserve, closed=True)
        null = 1.0 + self.margin
        ratios = HARM_RATIOS[null < HARM_RATIOS]
        # A margin beyond the table still deserves an alternative to bet on.
        self._harm_ratios = ratios if ratios.size else np.array([2.0 * null])
        self._harm = Wealth(np.full(self._harm_ratios.size, 1.0 / self._harm_ratios.size), self.reserve)
        self._health = Wealth(HEALTH_WEIGHTS)
        self._pending = (0.0, 0.0, 0.0, 0.0)
        self._is_harmful = False
        self.candidate_requests = 0.0
        self.candidate_errors = 0.0
        self.live_requests = 0.0
        self.live_errors = 0.0

    def update(
        self, candidate_requests: float, candidate_errors: float, live_requests: float, live_errors: float
    ) -> Verdict:
        """Take in the counts of one batch (both deployments over the same time) and return the verdict.

        Raises:
            ValueError: A count is negative or not finite, or errors exceed requests.
        """
        check_counts("candidate", candidate_requests, candidate_errors)
        check_counts("live", live_requests, live_errors)
        before = self.candidate_requests - self._pending[0]
        self.candidate_requests += candidate_requests
        self.candidate_errors += candidate_errors
        self.live_requests += live_requests
        self.live_errors += live_errors
        pending = self._pending
        n_c, e_c = pending[0] + candidate_requests, pending[1] + candidate_errors
        n_b, e_b = pending[2] + live_requests, pending[3] + live_errors
        if not (n_c and n_b):
            self._pending = (n_c, e_c, n_b, e_b)
            return self.verdict
        self._pending = (0.0, 0.0, 0.0, 0.0)
        if e_c or e_b:  # a batch without errors multiplies every bet by one
            self._advance(np.array([[n_c], [e_c], [n_b], [e_b]]), np.array([before]))
        return self.verdict

    def update_many(
        self,
        candidate_requests: ArrayLike,
        candidate_errors: ArrayLike,
        live_requests: ArrayLike,
        live_errors: ArrayLike,
    ) -> Verdict:
        """Take in T batches in order, each argument of shape (T,); the same as T calls of `update`, but faster.

        Raises:
            ValueError: As `update`, or the shapes differ.
        """
        n_c, e_c = check_count_arrays("candidate", candidate_requests, candidate_errors)
        n_b, e_b = check_count_arrays("live", live_requests, live_errors)
        if n_c.shape != n_b.shape:
            msg = f"candidate and live must have as many batches, not {n_c.size} and {n_b.size}"
            raise ValueError(msg)
        if not n_c.size:
            return self.verdict
        before = self.candidate_requests - self._pending[0]
        columns = [np.concatenate(([p], column)) for p, column in zip(self._pending, (n_c, e_c, n_b, e_b), strict=True)]
        merged = merge_one_armed(columns)
        self.candidate_requests += float(n_c.sum())
        self.candidate_errors += float(e_c.sum())
        self.live_requests += float(n_b.sum())
        self.live_errors += float(e_b.sum())
        if merged[0, -1] > 0 and merged[2, -1] > 0:
            self._pending = (0.0, 0.0, 0.0, 0.0)
        else:
            last = merged[:, -1].tolist()
            self._pending = (last[0], last[1], last[2], last[3])
            merged = merged[:, :-1]
        exposure = before + np.cumsum(merged[0]) - merged[0]
        told = (merged[1] > 0) | (merged[3] > 0)
        if told.any():
            self._advance(merged[:, told], exposure[told])
        return self.verdict

    def _advance(self, batches: Array, exposure: Array) -> None:
        n_c, e_c, n_b, e_b = batches[:, :, np.newaxis]
        share = n_c / (n_c + n_b)
        log_a, log_b = log_bets(1.0 + self.margin, self._harm_ratios, share, self.clumping)
        path = self._harm.advance(e_c * log_a + e_b * log_b, exposure)
        if path.max() >= -math.log(self.alpha):
            self._is_harmful = True
        log_a, log_b = log_bets(1.0 + self.delta, HEALTH_RATIOS, share, self.clumping)
        self._health.advance(e_c * log_a + e_b * log_b, exposure)

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
        """The evidence for harm now: harmful from 1/α on."""
        return as_e_value(self._harm.log_e)

    @property
    def log_e_value_healthy(self) -> float:
        """The logarithm of `e_value_healthy`."""
        return self._health.log_e

    @property
    def e_value_healthy(self) -> float:
        """The evidence for health now: healthy from 1/α on."""
        return as_e_value(self._health.log_e)

    def to_dict(self) -> dict[str, Any]:
        """Return settings and state in JSON's types; `from_dict` goes on from there."""
        return {
            "alpha": self.alpha,
            "margin": self.margin,
            "delta": self.delta,
            "clumping": self.clumping,
            "reserve": self.reserve,
            "totals": [self.candidate_requests, self.candidate_errors, self.live_requests, self.live_errors],
            "pending": list(self._pending),
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
        test = cls(
            state["alpha"],
            state["margin"],
            state["delta"],
            clumping=state["clumping"],
            reserve=state["reserve"],
        )
        test.candidate_requests, test.candidate_errors, test.live_requests, test.live_errors = state["totals"]
        n_c, e_c, n_b, e_b = state["pending"]
        test._pending = (n_c, e_c, n_b, e_b)
        test._is_harmful = bool(state["is_harmful"])
        test._harm.restore(state["harm"])
        test._health.restore(state["health"])
        return test
