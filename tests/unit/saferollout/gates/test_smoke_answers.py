"""How answers are compared: their shape in words, and their distance in numbers."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saferollout.gates.smoke_test import distance, shape

NUMBERS = st.integers() | st.floats()
ANSWERS = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
HUGE = 10**400  # JSON's integers may be larger than any float


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        (True, "yes/no"),
        (1, "number"),
        (1.5, "number"),
        ("1", "text"),
        ([], "0 × nothing"),
        ([1, 2.5], "2 × number"),
        ([1, "a", None], "3 × null or number or text"),
        ([[1, 2], [3, 4]], "2 × 2 × number"),
        ({}, "{}"),
        ({"b": "x", "a": [1]}, "{a: 1 × number, b: text}"),
    ],
)
def test_a_shape_in_words(value: object, expected: str) -> None:
    """The shape says the types, the lengths and the keys, and none of the values."""
    assert shape(value) == expected


@pytest.mark.parametrize(
    ("answer", "other", "expected"),
    [
        (1, 3, 2),
        (1.5, -1, 2.5),
        ([1, 2], [1, 5], 3),
        ({"a": 1, "b": [2]}, {"b": [4], "a": 1}, 2),
        ([], [], 0),
        ({}, {}, 0),
        ("x", "x", 0),
        (None, None, 0),
        (True, True, 0),
        ("x", "y", math.inf),
        ([1], [1, 2], math.inf),
        ([1], 1, math.inf),
        ({"a": 1}, {"b": 1}, math.inf),
        (1, "1", math.inf),
        (0, None, math.inf),
        (1, True, math.inf),
        (False, 0, math.inf),
        (math.nan, 1, math.inf),
        (math.nan, math.nan, 0),
        (math.inf, math.inf, 0),
        (math.inf, -math.inf, math.inf),
        ([math.nan, 1], [2, 1], math.inf),
        pytest.param(HUGE, HUGE, 0, id="huge twice"),
        pytest.param(HUGE, 1.5, math.inf, id="huge and small"),
    ],
)
def test_a_distance_in_numbers(answer: object, other: object, expected: float) -> None:
    """The largest difference counts; what is not a number is equal or infinitely far."""
    assert distance(answer, other) == expected


@given(ANSWERS)
def test_an_answer_is_as_itself(answer: Any) -> None:
    """The distance to itself is 0 for every JSON value."""
    assert distance(answer, answer) == 0.0


@given(ANSWERS, ANSWERS)
def test_a_distance_has_no_direction_and_is_never_nan(answer: Any, other: Any) -> None:
    """Every comparison with a tolerance is meant: no distance is NaN, which exceeds nothing."""
    apart = distance(answer, other)

    assert apart == distance(other, answer)
    assert apart >= 0


@given(ANSWERS, ANSWERS)
def test_a_finite_distance_means_the_same_shape(answer: Any, other: Any) -> None:
    """Numbers can be compared only where the answers are built alike."""
    if distance(answer, other) < math.inf:
        assert shape(answer) == shape(other)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=6), st.floats(0, 1e9))
def test_the_distance_of_shifted_numbers_is_the_shift(numbers: list[float], shift: float) -> None:
    """Nested or not, the largest difference is found."""
    shifted = [number + shift for number in numbers]

    assert distance({"a": [numbers]}, {"a": [shifted]}) == pytest.approx(shift, abs=1e-6)
