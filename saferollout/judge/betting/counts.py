"""Counts of requests and errors: checked, and merged until they can be compared."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def check_fraction(name: str, value: float, *, low: float = 0.0, high: float = 1.0, closed: bool = False) -> float:
    """Return `value` as a float if it lies between `low` and `high`.

    Args:
        name: What to call the value in the message.
        value: The number to check.
        low: The lower limit.
        high: The upper limit, itself never allowed.
        closed: Whether `low` itself is allowed.

    Raises:
        ValueError: It does not, or is not a finite number.
    """
    value = float(value)
    if not (low <= value < high if closed else low < value < high):
        allowed = f"{'[' if closed else '('}{low:g}, {high:g})"
        msg = f"{name} must lie in {allowed}, not {value!r}"
        raise ValueError(msg)
    return value


def check_counts(arm: str, requests: float, errors: float) -> None:
    """Raise unless 0 ≤ errors ≤ requests, both finite.

    Raises:
        ValueError: A count is negative, not finite, or there are more errors than requests.
    """
    if not 0 <= errors <= requests < math.inf:  # also false for NaN
        for name, value in (("requests", requests), ("errors", errors)):
            if not math.isfinite(value) or value < 0:
                msg = f"{arm} {name} must be a finite number ≥ 0, not {value!r}"
                raise ValueError(msg)
        msg = f"{arm} errors ({errors:g}) exceed {arm} requests ({requests:g})"
        raise ValueError(msg)


def check_count_arrays(arm: str, requests: ArrayLike, errors: ArrayLike) -> tuple[Array, Array]:
    """Return both as arrays of shape (T,), checked like `check_counts`.

    Raises:
        ValueError: As there, or the shapes differ.
    """
    n = np.asarray(requests, dtype=np.float64)
    e = np.asarray(errors, dtype=np.float64)
    if n.ndim != 1 or n.shape != e.shape:
        msg = f"{arm} requests and errors must be of one shape (T,), not {n.shape} and {e.shape}"
        raise ValueError(msg)
    wrong = ~((e >= 0) & (e <= n) & (n < np.inf))
    if wrong.any():
        first = int(np.argmax(wrong))
        check_counts(arm, float(n[first]), float(e[first]))
    return n, e


def check_latencies(arm: str, latencies_ms: ArrayLike) -> Array:
    """Return latencies in ms as an array of shape (T,).

    Raises:
        ValueError: One is negative or not finite, or the shape is another one.
    """
    x = np.asarray(latencies_ms, dtype=np.float64)
    if x.ndim != 1:
        msg = f"{arm} latencies must be of shape (T,), not {x.shape}"
        raise ValueError(msg)
    wrong = ~((x >= 0) & (x < np.inf))
    if wrong.any():
        msg = f"{arm} latencies must be finite numbers ≥ 0 (in ms), not {float(x[wrong][0])!r}"
        raise ValueError(msg)
    return x


def merge_one_armed(batches: Array) -> Array:
    """Merge successive batches until each holds requests of both arms.

    A batch in which only one deployment was asked says nothing about their ratio. Kept apart such batches would
    lose their errors; merged with what follows they are compared. Where a merged batch ends depends on who was
    asked, never on how the requests ended, so the test stays valid.

    Args:
        batches: Shape (R, T) with the candidate's requests in the first row and the live ones in the second.

    Returns:
        Shape (R, T'): merged batches, the last one possibly one-armed still.
    """
    candidate, live = batches[0] > 0, batches[1] > 0
    if (candidate & live).all():
        return batches
    # An open batch closes at the first column where the arm that it misses shows up.
    ends, has_candidate, has_live = [], False, False
    for column, (c, b) in enumerate(zip(candidate.tolist(), live.tolist(), strict=True)):
        has_candidate, has_live = has_candidate or c, has_live or b
        if has_candidate and has_live:
            ends.append(column)
            has_candidate = has_live = False
    if not ends or ends[-1] != len(candidate) - 1:
        ends.append(len(candidate) - 1)
    totals = np.cumsum(batches, axis=1)[:, ends]
    return np.diff(totals, axis=1, prepend=0.0)
