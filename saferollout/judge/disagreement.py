"""How much two answers to the same request disagree: a number D in [0, 1] for each pair.

0 is the same answer, 1 as different as can be. An answer that cannot be compared with the other (missing, not a number,
another shape) disagrees fully; `same` says what counts as equal everywhere. All functions are symmetric.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def same(a: object, b: object) -> bool:
    """Return whether two JSON values are the same answer: NaN is NaN and 1 is 1.0, but true is not 1."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if is_number(a) and is_number(b):
        return a == b or (a != a and b != b)
    return type(a) is type(b) and a == b


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a JSON value is a number; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def labels(live: Sequence[object], candidate: Sequence[object]) -> Array:
    """Return 1 where two class labels differ and 0 where they are equal, shape (T,).

    Raises:
        ValueError: The lengths differ.
    """
    return np.array([0.0 if same(a, b) else 1.0 for a, b in zip(live, candidate, strict=True)], dtype=np.float64)


def vectors(live: ArrayLike, candidate: ArrayLike) -> Array:
    """Return half the L1 distance of two vectors, each divided by its L1 norm, shape (T,).

    For class probabilities that is the total variation distance: the largest difference in the probability of any set
    of classes. Embeddings and multi-output regression work as well; a zero vector agrees with a zero vector only.

    Args:
        live: Shape (T, N).
        candidate: Shape (T, N).

    Raises:
        ValueError: The shapes differ, or are not two-dimensional.
    """
    a, b = _alike(live, candidate)
    if a.ndim != 2:
        msg = f"vectors must be of shape (T, N), not {a.shape}"
        raise ValueError(msg)
    equal = _equal(a, b) & ~np.isfinite(a)  # the same NaN or infinity on both sides is agreement there
    a, b = np.where(equal, 0.0, a), np.where(equal, 0.0, b)
    bad = np.logical_not((np.isfinite(a) & np.isfinite(b)).all(axis=1, keepdims=True))
    a, b = np.where(bad, 0.0, a), np.where(bad, 0.0, b)
    norm_a, norm_b = np.abs(a).sum(axis=1, keepdims=True), np.abs(b).sum(axis=1, keepdims=True)
    unit_a = np.divide(a, norm_a, out=np.zeros_like(a), where=norm_a > 0)
    unit_b = np.divide(b, norm_b, out=np.zeros_like(b), where=norm_b > 0)
    distance = np.where((norm_a[:, 0] > 0) == (norm_b[:, 0] > 0), np.abs(unit_a - unit_b).sum(axis=1) / 2, 1.0)
    return _at_most_one(np.where(bad[:, 0], 1.0, distance))


def json_values(live: object, candidate: object, scale: float | None = None) -> float:
    """Return the share of leaves that two JSON values disagree on, the larger one's leaves counting.

    Objects are compared key by key and lists item by item; a leaf that the other side lacks, or has in another type,
    disagrees fully. Numbers disagree by |a − b| / scale, at most 1; without a scale by |a − b| / max(|a|, |b|).

    Args:
        live: The live deployment's answer, as parsed from JSON.
        candidate: The candidate's.
        scale: The difference of two numbers that counts as full disagreement, > 0.
    """
    differ, leaves = _compare(live, candidate, scale)
    return differ / leaves if leaves else 0.0


def extract(answer: object, path: str) -> Any:
    """Return the part of a JSON answer that a path names.

    Args:
        answer: As parsed from JSON.
        path: Keys and list positions joined by dots, such as `predictions.0.label`; empty for the whole answer.

    Raises:
        KeyError: The answer has no such part.
    """
    part: Any = answer
    for step in path.split(".") if path else ():
        try:
            part = part[int(step)] if isinstance(part, Sequence) and not isinstance(part, str) else part[step]
        except (KeyError, IndexError, TypeError, ValueError):
            msg = f"the answer has no {path!r} (stopped at {step!r})"
            raise KeyError(msg) from None
    return part


def _alike(live: ArrayLike, candidate: ArrayLike) -> tuple[Array, Array]:
    a, b = np.asarray(live, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    if a.shape != b.shape:
        msg = f"live and candidate answers must be of one shape, not {a.shape} and {b.shape}"
        raise ValueError(msg)
    return a, b


def _equal(a: Array, b: Array) -> NDArray[np.bool_]:
    equal: NDArray[np.bool_] = (a == b) | (np.isnan(a) & np.isnan(b))
    return equal


def _at_most_one(distance: Array) -> Array:
    return np.where(np.isnan(distance), 1.0, np.minimum(distance, 1.0))


def _compare(a: object, b: object, scale: float | None) -> tuple[float, int]:
    """Return the sum of disagreements over the leaves, and their number."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        parts = [
            _compare(a[key], b[key], scale) if key in a and key in b else _missing(a.get(key, b.get(key)))
            for key in {**a, **b}
        ]
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
        longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
        parts = [_compare(x, y, scale) for x, y in zip(a, b, strict=False)]
        parts += [_missing(x) for x in longer[len(shorter) :]]
    elif isinstance(a, Mapping | list | tuple) or isinstance(b, Mapping | list | tuple):
        leaves = max(_missing(a)[1], _missing(b)[1])
        return float(leaves), leaves
    else:
        return _leaf(a, b, scale), 1
    return math.fsum(part[0] for part in parts), sum(part[1] for part in parts)


def _missing(value: object) -> tuple[float, int]:
    """Return a value that the other side lacks: each of its leaves disagrees; empty containers count as one."""
    if isinstance(value, Mapping):
        leaves = sum(_missing(item)[1] for item in value.values())
    elif isinstance(value, list | tuple):
        leaves = sum(_missing(item)[1] for item in value)
    else:
        leaves = 1
    return float(max(leaves, 1)), max(leaves, 1)


def _leaf(a: object, b: object, scale: float | None) -> float:
    if same(a, b):
        return 0.0
    if not is_number(a) or not is_number(b):
        return 1.0
    try:
        distance = abs(a - b) / (scale if scale else max(abs(a), abs(b)))
    except OverflowError:  # JSON's integers have no end
        return 1.0
    return min(distance, 1.0) if math.isfinite(distance) else 1.0
