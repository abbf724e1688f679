"""Numbers as people say them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saferollout.domain.words import percent, percent_at_most, plural


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 answers"), (1, "1 answer"), (2, "2 answers"), (1095.0, "1,095 answers")]
)
def test_one_thing_is_not_several(number: float, words: str) -> None:
    """*1 requests* is read as a mistake of the program."""
    assert plural(number, "answer") == words


@pytest.mark.parametrize(
    ("share", "words"), [(0, "0%"), (0.0004, "0.04%"), (0.031, "3.1%"), (0.5, "50%"), (999, "99,900%")]
)
def test_shares_have_two_digits(share: float, words: str) -> None:
    """More would pretend to know more."""
    assert percent(share) == words


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (0, "0%"),
        (0.00612, "0.62%"),
        (0.0062, "0.62%"),
        (0.0995, "10.0%"),
        (0.1, "10%"),
        (0.1201, "13%"),
        (0.995, "100%"),
        (1, "100%"),
    ],
)
def test_a_limit_is_rounded_up(limit: float, words: str) -> None:
    """Rounded down, it would claim more than was shown."""
    assert percent_at_most(limit) == words


@given(st.floats(1e-9, 1))
def test_a_rounded_limit_is_a_limit(limit: float) -> None:
    """Whatever it is: no smaller, and larger by a tenth at most."""
    said = float(percent_at_most(limit).removesuffix("%")) / 100

    assert limit * (1 - 1e-6) <= said <= limit * 1.11
