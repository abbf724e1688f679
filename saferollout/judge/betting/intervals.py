"""Confidence sequences: limits that hold at all times at once.

Each inverts a family of tests: the values that the data do not reject at level α. Anytime-validity carries over, so
one may look at the limits, and stop, whenever one likes. As with the verdicts, either direction has α of its own: the
lower limit is ever too high with probability at most α, and so is the upper one ever too low.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saferollout.judge.betting.autocorrelation import AUTOCORRELATION, allow_for_runs

Array = NDArray[np.float64]

#: What the tests on one rate bet it to be, as multiples of the value tested, and how the bets are split.
ABOVE = np.array([1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 40.0])
ABOVE_WEIGHTS = np.full(ABOVE.size, 1.0 / ABOVE.size)
#: Half of what is bet on less is on no events at all.
BELOW = np.array([0.0, 1 / 8, 1 / 4, 1 / 2, 0.7, 0.85])
BELOW_WEIGHTS = np.array([0.5, 0.1, 0.1, 0.1, 0.1, 0.1])

#: The rate ratios that `RatioBounds` tests: eight a doubling, from 1/64 to 64.
_STEPS_PER_DOUBLING = 8
_GRID = 2.0 ** (np.arange(-48, 49) / _STEPS_PER_DOUBLING)
#: What they bet the ratio to be, in steps away from the value tested: factors 1.3, 2 and 8.
_STRIDES = (3, 8, 24)


def log_returns(limit: float, multiples: Array, requests: Array, errors: Array, autocorrelation: float) -> Array:
    """Return what batches add to the log-wealth of bets that the rate is `multiples` times the `limit`.

    For a multiple m, n requests and e errors: −(m−1)·s·(1−r)·n + e·log m', with s the limit, r the autocorrelation
    and m' the m that allows for runs. It is the likelihood ratio of two Poisson processes of error runs. For
    Bernoulli errors of rate q the batch's mean is (1+q(m−1))^n · exp(−ns(m−1)) ≤ exp(n(q−s)(m−1)) (at r = 0), at
    most one on the null's side.

    Args:
        limit: The limit s on the error rate.
        multiples: m, shape (J,); all above 1 (for harm) or all below (for health).
        requests: n, shape (T,).
        errors: e, shape (T,).
        autocorrelation: r, in [0, 1).

    Returns:
        Shape (T, J).
    """
    drift = (1.0 - multiples) * limit * (1.0 - autocorrelation)
    with np.errstate(divide="ignore"):  # a bet on no errors at all is lost with the first one: log 0 = −∞
        log_m = np.log(allow_for_runs(multiples, autocorrelation))
    log_m = np.maximum(log_m, -1e6)  # finite, so that no errors times −∞ is zero and not NaN
    return requests[:, np.newaxis] * drift + errors[:, np.newaxis] * log_m


def rate_interval(
    events: float, requests: float, alpha: float = 0.05, autocorrelation: float = AUTOCORRELATION
) -> tuple[float, float]:
    """Return a confidence sequence on a rate, from the totals alone.

    For a rate q the log-wealth of the bet on m·q is −(m−1)·q·(1−r)·n + k·log m'. It falls with q for m > 1 and rises
    for m < 1, so what is rejected lies below one limit and above another; both are found by bisection.

    Args:
        events: k; need not be whole (a sum of values in [0, 1] will do).
        requests: n.
        alpha: The chance that either limit is ever wrong, in (0, 1).
        autocorrelation: Lag-1 autocorrelation of events to allow for, in [0, 1).

    Returns:
        Lower and upper limit, (0, 1) when there are no requests.
    """
    return _rate_interval(float(events), float(requests), alpha, autocorrelation) if requests > 0 else (0.0, 1.0)


@functools.lru_cache(maxsize=1024)  # sentence, table and plot ask for that of the same totals
def _rate_interval(events: float, requests: float, alpha: float, autocorrelation: float) -> tuple[float, float]:
    n, k = np.array([requests]), np.array([events])
    level = -math.log(alpha)

    def rejector(multiples: Array, weights: Array) -> Callable[[float], bool]:
        # Log-returns are linear in the rate: what the events pay, and what one unit of rate costs.
        pays = np.log(weights) + log_returns(0.0, multiples, n, k, autocorrelation)[0]
        costs = log_returns(1.0, multiples, n, 0.0 * k, autocorrelation)[0]
        return lambda rate: float(np.logaddexp.reduce(pays + rate * costs)) >= level

    mean = events / requests
    return (
        limit_between(0.0, mean, rejector(ABOVE, ABOVE_WEIGHTS)),
        limit_between(1.0, mean, rejector(BELOW, BELOW_WEIGHTS)),
    )


def limit_between(far: float, near: float, rejects: Callable[[float], bool]) -> float:
    """Return the last value on the way from `far` to `near` that a test rejects, or `far` if it rejects none.

    Args:
        far: The most extreme value there is.
        near: The estimate.
        rejects: Whether the test rejects a value; once it keeps one it must keep all nearer ones.
    """
    if not rejects(far):
        return far
    kept = near
    for _ in range(40):
        middle = (far + kept) / 2
        if rejects(middle):
            far = middle
        else:
            kept = middle
    return far


class RatioBounds:
    """A confidence sequence on the ratio of two event rates.

    For every ratio θ₀ on a grid the wealth of bets on a few larger and a few smaller ratios is kept; those grid points
    that neither side rejects make the interval, interpolated between grid points where the wealth crosses
    the level. Memory is constant; batches are buffered and worked off together.
    """

    def __init__(self, autocorrelation: float = AUTOCORRELATION) -> None:
        self._autocorrelation = autocorrelation
        self._wealth = np.zeros((2, len(_STRIDES), _GRID.size))  # [above, below] x stride x θ₀
        self._waiting: list[Array] = []
        self._waiting_columns = 0

    def add(self, batches: Array) -> None:
        """Take in batches, shape (4, T): candidate and live requests, candidate and live events."""
        self._waiting.append(batches)
        self._waiting_columns += batches.shape[1]
        if self._waiting_columns >= 256:
            self._work_off()

    def _work_off(self) -> None:
        if not self._waiting:
            return
        n_c, n_b, e_c, e_b = np.concatenate(self._waiting, axis=1)
        self._waiting, self._waiting_columns = [], 0
        # Batches with the same share are one batch to the likelihood; with fixed probing that is all of them.
        shares, which = np.unique(n_c / (n_c + n_b), return_inverse=True)
        candidate, live = np.bincount(which, e_c), np.bincount(which, e_b)
        for start in range(0, shares.size, 256):
            part = slice(start, start + 256)
            share = shares[part, np.newaxis]
            for row, stride in enumerate(_STRIDES):
                for side, direction in enumerate((1, -1)):
                    other = _GRID * 2.0 ** (direction * stride / _STEPS_PER_DOUBLING)
                    b = (1.0 + share * (_GRID - 1.0)) / (1.0 + share * (other - 1.0))
                    a = b * (other / _GRID)
                    self._wealth[side, row] += candidate[part] @ np.log(allow_for_runs(a, self._autocorrelation))
                    self._wealth[side, row] += live[part] @ np.log(allow_for_runs(b, self._autocorrelation))

    def interval(self, alpha: float = 0.05) -> tuple[float, float]:
        """Return the lower and upper limit on the ratio: 0 where there is no lower one, inf where no upper one."""
        self._work_off()
        level = -math.log(alpha)
        above, below = np.logaddexp.reduce(self._wealth, axis=1) - math.log(len(_STRIDES)) - level
        log_grid = np.log(_GRID)
        lower, upper = 0.0, math.inf
        rejected = np.flatnonzero(above >= 0)
        if rejected.size:
            last = int(rejected[-1])
            lower = math.exp(_crossing(log_grid, above, last)) if last + 1 < _GRID.size else float(_GRID[-1])
        rejected = np.flatnonzero(below >= 0)
        if rejected.size:
            first = int(rejected[0])
            upper = math.exp(_crossing(log_grid, below, first - 1)) if first else float(_GRID[0])
        return lower, upper

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs, in JSON's types."""
        self._work_off()
        return {"wealth": self._wealth.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self._wealth = np.array(state["wealth"], dtype=np.float64)


def _crossing(x: Array, y: Array, left: int) -> float:
    """Return where the line between two neighbouring points of (x, y), of different signs, is zero."""
    return float(x[left] + (x[left + 1] - x[left]) * y[left] / (y[left] - y[left + 1]))
