"""The wealth of a mixture of bets: the e-process behind every verdict.

Somebody who starts with one unit and may only make bets that are fair (or worse) when the null hypothesis is true
owns a non-negative supermartingale. By Ville's inequality the chance that it *ever* reaches 1/α is at most α, so one
may look after every request and stop whenever one likes. Here the unit is split over J bets that run side by side
(a mixture over alternatives), and a part of it is kept back and handed out as the data arrive:

    E_n = Σ_j W_j(n) + R(n),    R(n) = R₀ / √(1 + n/N₀)

Without the reserve, long health buries the bets so deep that a candidate which turns bad later (a leak, or overload
once it gets all the traffic) would have to earn all of that back first. The money that R hands out goes into the
same J bets afresh and starts from there: a mixture over starting times, each fair, hence fair itself.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Exposure (candidate requests) over which the first part of the reserve is handed out, N₀ above.
RELEASE_SCALE = 1000.0

Array = NDArray[np.float64]


def as_e_value(log_e: float) -> float:
    """Return exp(`log_e`), capped at 1e300 so that it survives JSON."""
    return float(np.exp(min(log_e, 690.0)))


class Wealth:
    """A mixture of J bets with a reserve, in logarithms.

    Args:
        weights: How the invested part is split over the bets, shape (J,), positive, sum 1.
        reserve: The part kept back at the start, R₀, 0 ≤ R₀ < 1. With 0 the value is the plain mixture Σ w_j W_j.
    """

    def __init__(self, weights: Array, reserve: float = 0.0) -> None:
        self._log_weights = np.log(np.asarray(weights, dtype=np.float64))
        self._initial_reserve = float(reserve)
        self._reserve = float(reserve)
        self._log_stakes = self._log_weights + np.log1p(-reserve)
        self._log_e = 0.0

    @property
    def log_e(self) -> float:
        """The logarithm of the e-process now."""
        return self._log_e

    @property
    def log_stakes(self) -> Array:
        """The logarithm of each bet's wealth, shape (J,)."""
        return np.array(self._log_stakes)

    def advance(self, log_returns: Array, exposure: Array) -> Array:
        """Play T rounds and return the path of log E, shape (T,).

        Args:
            log_returns: The logarithm of what each round multiplies each bet by, shape (T, J). Its exponential must
                have a mean of at most one under the null, given the rounds before.
            exposure: The total exposure *before* each round, shape (T,), non-decreasing. It releases the reserve, so
                it must not depend on the round's outcome. Rounds with return zero may be left out entirely.
        """
        if not len(log_returns):
            return np.empty(0)
        growth = log_returns if len(log_returns) == 1 else np.cumsum(log_returns, axis=0)
        stakes = self._log_stakes + growth
        if self._initial_reserve:
            left = self._initial_reserve / np.sqrt(1.0 + exposure / RELEASE_SCALE)
            released = np.empty_like(left)
            released[0], released[1:] = self._reserve - left[0], left[:-1] - left[1:]
            # A stake placed before round t grows with rounds t, t+1, …: all growth less that until t.
            fresh = np.log(np.maximum(released, 1e-300))[:, np.newaxis] + self._log_weights
            fresh[1:] -= growth[:-1]
            if len(fresh) > 1:
                fresh = np.logaddexp.accumulate(fresh, axis=0)
            stakes = np.logaddexp(stakes, fresh + growth)
            path = np.logaddexp(np.logaddexp.reduce(stakes, axis=1), np.log(left))
            self._reserve = float(left[-1])
        else:
            path = np.logaddexp.reduce(stakes, axis=1)
        self._log_stakes = stakes[-1]
        self._log_e = float(path[-1])
        return np.asarray(path, dtype=np.float64)

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs, in JSON's types."""
        return {"log_stakes": self._log_stakes.tolist(), "reserve": self._reserve, "log_e": self._log_e}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state` of a mixture with the same bets.

        Raises:
            ValueError: The state has another number of bets.
        """
        stakes = np.asarray(state["log_stakes"], dtype=np.float64)
        if stakes.shape != self._log_weights.shape:
            msg = f"the state has {stakes.size} bets, this test has {self._log_weights.size}"
            raise ValueError(msg)
        self._log_stakes = stakes
        self._reserve = float(state["reserve"])
        self._log_e = float(state["log_e"])
