"""Do events happen more often on the candidate than on the live deployment? For K kinds of events at once."""

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saferollout.judge.betting.autocorrelation import AUTOCORRELATION, allow_for_runs
from saferollout.judge.betting.counts import check_fraction, merge_one_armed
from saferollout.judge.betting.two_sided import TwoSided, exposure_until
from saferollout.judge.betting.wealth import Wealth

Array = NDArray[np.float64]

#: Rate ratios that harm may have; the mixture bets on each of them alike.
HARM_RATIOS = np.array([1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 40.0])
#: Rate ratios that health may have (the same rate, or a better one), and how the bets are split over them.
HEALTH_RATIOS = np.array([1.0, 0.5, 0.1])
HEALTH_WEIGHTS = np.array([0.5, 0.25, 0.25])


def log_bets(null: ArrayLike, alternative: ArrayLike, share: ArrayLike, autocorrelation: float) -> tuple[Array, Array]:
    """Return what one candidate event and one live event add to log E(θ₁, θ₀).

    With ρ the candidate's share of a batch's requests and d(θ) = ρθ + 1 − ρ, an event is the candidate's with
    probability ρθ/d(θ). The likelihood ratio of θ₁ against θ₀ is a = (θ₁/d(θ₁)) / (θ₀/d(θ₀)) for a candidate's
    event and b = d(θ₀)/d(θ₁) for a live one (cf. Lindon & Malek 2022, arXiv 2011.03567); both are then made safe
    against runs (`saferollout.judge.betting.autocorrelation`).

    Whatever the live rate p of the batch: under a rate ratio θ ≤ θ₀ < θ₁ the batch multiplies E by
    (1 + θp(a−1))^n_c · (1 + p(b−1))^n_b ≤ exp(n·p·[ρθ(a−1) + (1−ρ)(b−1)]) on average, and the bracket is zero at
    θ = θ₀ and negative below. So the test needs no knowledge of p, and p may change from batch to batch.

    Args:
        null: θ₀.
        alternative: θ₁.
        share: ρ, strictly between 0 and 1.
        autocorrelation: Lag-1 autocorrelation to allow for, in [0, 1).

    Returns:
        log a' and log b' in the shape that the first three arguments broadcast to.
    """
    theta0, theta1, rho = (np.asarray(value, dtype=np.float64) for value in (null, alternative, share))
    b = (1.0 + rho * (theta0 - 1.0)) / (1.0 + rho * (theta1 - 1.0))
    a = b * (theta1 / theta0)
    return np.log(allow_for_runs(a, autocorrelation)), np.log(allow_for_runs(b, autocorrelation))


class EventRates(TwoSided):
    """The e-processes over rate ratios for K kinds of events, which `ErrorRate` and `Latency` are made of.

    Harm is the average over the K kinds of the mixture over `HARM_RATIOS`, so the kinds share one α; health must be
    proven for every kind (its e-value is the smallest), which needs no sharing. Batches with requests of one deployment
    only are merged with what follows (`merge_one_armed`); batches without events change nothing and cost nothing.

    Args:
        kinds: K, at least 1.
        alpha: The error probability of each direction, in (0, 1).
        margin: Harm is a rate ratio above 1 + margin. At least 0.
        delta: Health is a rate ratio below 1 + delta. Above `margin`.
        autocorrelation: Lag-1 autocorrelation of events to allow for, in [0, 1).
        reserve: The part of the harm test's wealth kept for harm that begins late, in [0, 1).

    Raises:
        ValueError: A setting lies outside its range.
    """

    _carried: ClassVar[tuple[str, ...]] = ("candidate_requests", "live_requests")

    def __init__(
        self,
        kinds: int,
        alpha: float,
        margin: float,
        delta: float,
        *,
        autocorrelation: float = AUTOCORRELATION,
        reserve: float = 0.25,
    ) -> None:
        self.margin = check_fraction("margin", margin, high=math.inf, closed=True)
        self.delta = check_fraction("delta", delta, low=self.margin, high=math.inf)
        self.autocorrelation = check_fraction("autocorrelation", autocorrelation, closed=True)
        self.reserve = check_fraction("reserve", reserve, closed=True)
        null = 1.0 + self.margin
        ratios = HARM_RATIOS[null < HARM_RATIOS]
        # A margin beyond the table still deserves an alternative to bet on.
        self._harm_ratios = ratios if ratios.size else np.array([2.0 * null])
        # Both tests' bets side by side, so that one call prices all of them.
        self._nulls = np.concatenate(
            (np.full(self._harm_ratios.size, null), np.full(HEALTH_RATIOS.size, 1.0 + self.delta))
        )
        self._alternatives = np.concatenate((self._harm_ratios, HEALTH_RATIOS))
        self._kinds = kinds
        bets = kinds * self._harm_ratios.size
        super().__init__(
            alpha,
            Wealth(np.full(bets, 1.0 / bets), self.reserve),
            Wealth(np.tile(HEALTH_WEIGHTS, kinds) / kinds),
        )
        self.candidate_requests = 0.0
        self.live_requests = 0.0
        self._candidate_events = np.zeros(kinds)
        self._live_events = np.zeros(kinds)
        self._pending = np.zeros(2 + 2 * kinds)

    @property
    def exposure(self) -> float:
        """Candidate requests so far."""
        return self.candidate_requests

    @property
    def log_e_values(self) -> Array:
        """The logarithm of each kind's evidence for harm, as if it were the only one, shape (K,)."""
        by_kind = self._harm.log_stakes.reshape(self._kinds, -1)
        return np.asarray(np.logaddexp.reduce(by_kind, axis=1) + math.log(self._kinds))

    @property
    def log_e_values_healthy(self) -> Array:
        """The logarithm of each kind's evidence for health, shape (K,)."""
        by_kind = self._health.log_stakes.reshape(self._kinds, -1)
        return np.asarray(np.logaddexp.reduce(by_kind, axis=1) + math.log(self._kinds))

    @property
    def log_e_value_healthy(self) -> float:
        """The logarithm of the evidence for health of the least proven kind."""
        return float(self.log_e_values_healthy.min())

    def _count(self, batches: Array) -> None:
        """Take in batches, shape (2 + 2K, T): candidate and live requests, candidate and live events by kind."""
        single = batches.shape[1] == 1
        totals = batches[:, 0] if single else batches.sum(axis=1)
        before = self.candidate_requests - float(self._pending[0])
        self.candidate_requests += float(totals[0])
        self.live_requests += float(totals[1])
        self._candidate_events += totals[2 : 2 + self._kinds]
        self._live_events += totals[2 + self._kinds :]
        if single:  # the usual case, worth a shorter way
            merged = batches + self._pending[:, np.newaxis]
        elif self._pending[:2].any():
            merged = merge_one_armed(np.concatenate((self._pending[:, np.newaxis], batches), axis=1))
        else:
            merged = merge_one_armed(batches)
        if merged[0, -1] > 0 and merged[1, -1] > 0:
            self._pending = np.zeros(len(merged))
        else:
            self._pending = merged[:, -1].copy()
            merged = merged[:, :-1]
        exposure = np.array([before]) if single else before + np.cumsum(merged[0]) - merged[0]
        has_events = merged[2:].any(axis=0)
        if has_events.all() and has_events.size:
            self._advance(merged, exposure)
        elif has_events.any():
            self._advance(merged[:, has_events], exposure[has_events])

    def _advance(self, batches: Array, exposure: Array) -> None:
        """Bet on two-armed batches that hold events."""
        share = (batches[0] / (batches[0] + batches[1]))[:, np.newaxis]
        candidate = batches[2 : 2 + self._kinds].T[:, :, np.newaxis]
        live = batches[2 + self._kinds :].T[:, :, np.newaxis]
        log_a, log_b = log_bets(self._nulls, self._alternatives, share, self.autocorrelation)
        returns = candidate * log_a[:, np.newaxis, :] + live * log_b[:, np.newaxis, :]
        harm, health = returns[:, :, : self._harm_ratios.size], returns[:, :, self._harm_ratios.size :]
        self._play(harm.reshape(len(exposure), -1), health.reshape(len(exposure), -1), exposure)

    def _growth(self) -> tuple[Array, Array]:
        n_c, n_b = self.candidate_requests, self.live_requests
        if not (n_c and n_b):
            return np.zeros(self._harm.log_stakes.size), np.zeros(self._health.log_stakes.size)
        share = n_c / (n_c + n_b)
        # Half an event is added to each count, so that none yet is not taken for never.
        candidate = ((self._candidate_events + 0.5) / (n_c + 1.0))[:, np.newaxis]
        live = ((self._live_events + 0.5) / (n_b + 1.0))[:, np.newaxis] * (n_b / n_c)
        log_a, log_b = log_bets(self._nulls, self._alternatives, share, self.autocorrelation)
        growth = candidate * log_a + live * log_b
        return growth[:, : self._harm_ratios.size].ravel(), growth[:, self._harm_ratios.size :].ravel()

    def exposure_until(
        self, log_level_harm: float | None = None, log_level_health: float | None = None
    ) -> tuple[float | None, float | None]:
        """Return as `TwoSided.exposure_until`; health takes as long as its slowest kind."""
        until_harm, _ = super().exposure_until(log_level_harm, log_level_health)
        level = self._log_alarm if log_level_health is None else log_level_health
        _, growth = self._growth()
        stakes = self._health.log_stakes.reshape(self._kinds, -1) + math.log(self._kinds)
        by_kind = [exposure_until(stakes[k], g, level) for k, g in enumerate(growth.reshape(self._kinds, -1))]
        waits = [wait for wait in by_kind if wait is not None]
        return until_harm, max(waits) if len(waits) == self._kinds else None

    def settings(self) -> dict[str, Any]:
        """The settings that all such tests share."""
        return {
            "alpha": self.alpha,
            "margin": self.margin,
            "delta": self.delta,
            "autocorrelation": self.autocorrelation,
            "reserve": self.reserve,
        }

    def _more_state(self) -> dict[str, Any]:
        return {
            "candidate_events": self._candidate_events.tolist(),
            "live_events": self._live_events.tolist(),
            "pending": self._pending.tolist(),
        }

    def _restore_more(self, state: dict[str, Any]) -> None:
        self._candidate_events = np.array(state["candidate_events"], dtype=np.float64)
        self._live_events = np.array(state["live_events"], dtype=np.float64)
        self._pending = np.array(state["pending"], dtype=np.float64)
