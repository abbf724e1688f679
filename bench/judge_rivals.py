"""The rules that others document, on the counts of each minute. Each returns when it stops the candidate.

All take arrays of shape (runs, minutes) and return the second of the alarm by run, infinite without one. Where a rule
fails a measurement without data, so do these.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Two-sided 98 % and one-sided 5 % points of the normal distribution.
Z_98, Z_95_ONE_SIDED = 2.3263, 1.6449


def nth_failure(failed: NDArray[np.bool_], number: int, interval_s: float) -> Array:
    """Return the second at which the `number`-th failed check ends."""
    reached = np.cumsum(failed, axis=1) >= number
    return np.where(reached.any(axis=1), (reached.argmax(axis=1) + 1) * interval_s, np.inf)


def windows(values: Array, minutes: int) -> Array:
    """Sum minutes to windows, shape (runs, windows)."""
    return np.asarray(values.reshape(values.shape[0], -1, minutes).sum(axis=2))


def flagger(requests: Array, bad: Array, limit: float = 0.01) -> Array:
    """Flagger: each minute the success rate must be 99 %; rolled back at the fifth failed check.

    A minute without requests is a failed check ("no values found for metric").
    """
    return nth_failure((requests == 0) | (bad > limit * requests), 5, 60)


def argo(requests: Array, bad: Array, limit: float = 0.05) -> Array:
    """Argo Rollouts: every 5 minutes the success rate must be 95 %, failureLimit 3, so the fourth failure aborts.

    Without requests the query gives 0/0, which is not ≥ 0.95.
    """
    n, k = windows(requests, 5), windows(bad, 5)
    return nth_failure((n == 0) | (k > limit * n), 4, 300)


def alarm(requests: Array, bad: Array, limit: float = 0.01) -> Array:
    """SageMaker-like alarm: above 1 % in two 10-minute periods in a row; missing data is not a breach."""
    n, k = windows(requests, 10), windows(bad, 10)
    breach = (n > 0) & (k > limit * n)
    twice = breach[:, 1:] & breach[:, :-1]
    return np.where(twice.any(axis=1), (twice.argmax(axis=1) + 2) * 600.0, np.inf)


def kayenta(candidate: Array, live: Array) -> Array:
    """Kayenta's NetflixACAJudge at the end of the hour, on one value a minute; NaN is a minute without data.

    Mann-Whitney with confidence level 0.98 after removal of outliers (3 interquartile ranges); *High*, and so a failed
    canary, if the lower confidence limit of the Hodges-Lehmann shift exceeds 0.25 of its estimate.
    """
    alarms = np.full(candidate.shape[0], np.inf)
    for run, (x, y) in enumerate(zip(candidate, live, strict=True)):
        x, y = _without_outliers(x[np.isfinite(x)]), _without_outliers(y[np.isfinite(y)])
        if not (x.size and y.size):
            continue
        shifts = np.sort((x[:, np.newaxis] - y).ravel())
        rank = x.size * y.size / 2 - Z_98 * np.sqrt(x.size * y.size * (x.size + y.size + 1) / 12)
        if rank >= 1 and shifts[int(rank) - 1] > 0.25 * abs(np.median(shifts)):
            alarms[run] = 3600.0
    return alarms


def _without_outliers(x: Array) -> Array:
    if x.size < 2:
        return x
    low, high = np.quantile(x, [0.25, 0.75])
    return np.asarray(x[(x >= low - 3 * (high - low)) & (x <= high + 3 * (high - low))])


def peeked_ratio(n_c: Array, k_c: Array, n_b: Array, k_b: Array) -> Array:
    """A z-test at one-sided 5 % on two proportions, looked at every minute on all data so far."""
    n_c, k_c, n_b, k_b = (np.cumsum(x, axis=1) for x in (n_c, k_c, n_b, k_b))
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (k_c + k_b) / (n_c + n_b)
        z = (k_c / n_c - k_b / n_b) / np.sqrt(pooled * (1 - pooled) * (1 / n_c + 1 / n_b))
    return nth_failure(np.nan_to_num(z) > Z_95_ONE_SIDED, 1, 60)


def peeked_mean(n_c: Array, s_c: Array, q_c: Array, n_b: Array, s_b: Array, q_b: Array) -> Array:
    """A z-test at one-sided 5 % on two means, looked at every minute; n, sum and sum of squares by minute."""
    n_c, s_c, q_c, n_b, s_b, q_b = (np.cumsum(x, axis=1) for x in (n_c, s_c, q_c, n_b, s_b, q_b))
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (q_c / n_c - (s_c / n_c) ** 2) / n_c + (q_b / n_b - (s_b / n_b) ** 2) / n_b
        z = (s_c / n_c - s_b / n_b) / np.sqrt(variance)
    return nth_failure(np.nan_to_num(z, posinf=0.0, neginf=0.0) > Z_95_ONE_SIDED, 1, 60)


def peeked_rate(n: Array, k: Array, limit: float) -> Array:
    """A z-test at one-sided 5 % on one proportion against a limit, looked at every minute."""
    n, k = np.cumsum(n, axis=1), np.cumsum(k, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (k / n - limit) / np.sqrt(limit * (1 - limit) / n)
    return nth_failure(np.nan_to_num(z) > Z_95_ONE_SIDED, 1, 60)
