"""What changed between two deployments' answers, in words, and when it is too much to call a shape *passed*."""

import math
from typing import Any

import pytest

from saferollout.gates.answer_change import change_of

ROWS = [11056.0, 4503.0, 380.0, 9821.5]


@pytest.mark.parametrize(
    ("candidate", "live", "words", "doubt"),
    [
        (
            [[0.5, 0.5]],
            [[11056, 4503]],
            "1 of 1 answer differs from live's: numbers by 100% (median)",
            "numbers at '*' are orders of magnitude off in 1 of 1 answer (typically 22,112 times)",
        ),
        (
            [{"y": 1000 * row} for row in ROWS],
            [{"y": row} for row in ROWS],
            "4 of 4 answers differ from live's: numbers by 99,900% (median)",
            "numbers at 'y' are orders of magnitude off in 4 of 4 answers (typically 1,000 times)",
        ),
        (
            [{"label": "ham", "score": 0.93}] * 2,
            [{"label": "spam", "score": 0.95}, {"label": "eggs", "score": 0.95}],
            "2 of 2 answers differ from live's: numbers by 2.1% (median), 100% of the labels",
            "every label differs from live's ('label')",
        ),
        (
            [1, 2, 0],
            [0, 1, 2],
            "3 of 3 answers differ from live's: 100% of the labels",
            "every label differs from live's",
        ),
        (
            [2] * 10,
            [1] * 10,
            "10 of 10 answers differ from live's: 100% of the labels",
            "every label differs from live's",
        ),
        (
            [[True]],
            [[False]],
            "1 of 1 answer differs from live's: 100% of the labels",
            "every label differs from live's ('*')",
        ),
        (
            [[0.0], [0.0]],
            [[3.5], [7.25]],
            "2 of 2 answers differ from live's: numbers by 100% (median)",
            "numbers at '*' are orders of magnitude off in 2 of 2 answers (to or from zero, or beyond all numbers)",
        ),
        (
            [math.nan, math.nan],
            [3.5, 7.25],
            "2 of 2 answers differ from live's",
            "numbers are orders of magnitude off in 2 of 2 answers (to or from zero, or beyond all numbers)",
        ),
        (
            [10**400],
            [5],
            "1 of 1 answer differs from live's",
            "numbers are orders of magnitude off in 1 of 1 answer (to or from zero, or beyond all numbers)",
        ),
        (
            [{"p": "0.0001"}],
            [{"p": "51.25"}],
            "1 of 1 answer differs from live's: numbers by 100% (median)",
            "numbers at 'p' are orders of magnitude off in 1 of 1 answer (typically 512,500 times)",
        ),
    ],
    ids=["constant", "unit", "labels", "classes", "one class", "yes or no", "zero", "NaN", "huge", "numbers as text"],
)
def test_a_change_of_everything_is_in_doubt(candidate: list[Any], live: list[Any], words: str, doubt: str) -> None:
    """Orders of magnitude, or every label: it is said where, and how much."""
    change = change_of(list(zip(candidate, live, strict=True)))

    assert str(change) == words
    assert change.doubts == (doubt,)


@pytest.mark.parametrize(
    ("candidate", "live", "words"),
    [
        ([], [], "no answer could be compared with live's"),
        (ROWS, ROWS, "no answer differs from live's"),
        ([row * (1 + 1e-12) for row in ROWS], ROWS, "no answer differs from live's"),
        ([row * 1.5 for row in ROWS], ROWS, "4 of 4 answers differ from live's: numbers by 50% (median)"),
        ([*ROWS[:3], 1.0], ROWS, "1 of 4 answers differs from live's: numbers by 100% (median)"),
        (["a", "b", "c", "d"], ["a", "b", "c", "e"], "1 of 4 answers differs from live's: 25% of the labels"),
        ([43], [42], "1 of 1 answer differs from live's: numbers by 2.4% (median)"),
        ([[0.02, 0.98]], [[0.001, 0.999]], "1 of 1 answer differs from live's: numbers by 1.9% (median)"),
        (
            [{"spam": 0.02, "ham": 0.98}],
            [{"spam": 0.001, "ham": 0.999}],
            "1 of 1 answer differs from live's: numbers by 1.9% (median)",
        ),
        ([1e-6, 1e-9, 0.9], [1e-9, 1e-6, 0.97], "3 of 3 answers differ from live's: numbers by 100% (median)"),
        (
            [{"y": 1.5, "id": "b"}] * 2,
            [{"y": 1.5, "id": "a"}] * 2,
            "2 of 2 answers differ from live's: 100% of the labels",
        ),
        (["3", "7"], ["3", "1"], "1 of 2 answers differs from live's: 50% of the labels"),
        ([{"boxes": []}], [{"boxes": []}], "no answer differs from live's"),
        ([[1, 2]], [[1]], "1 of 1 answer differs from live's"),
        ([{"a": 1}], [[1]], "1 of 1 answer differs from live's"),
    ],
    ids=[
        "nothing",
        "same",
        "rounding",
        "half as much again",
        "one",
        "a label",
        "whole number",
        "probabilities",
        "probabilities by class",
        "nearly zero",
        "ids",
        "digits as text",
        "empty",
        "lengths",
        "kinds",
    ],
)
def test_a_change_of_some_is_only_reported(candidate: list[Any], live: list[Any], words: str) -> None:
    """A better model differs, too; what is near zero, rounding, or an id beside equal numbers is not a doubt."""
    change = change_of(list(zip(candidate, live, strict=True)))

    assert str(change) == words
    assert change.doubts == ()
