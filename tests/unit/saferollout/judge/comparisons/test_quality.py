"""The test on losses against true answers."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saferollout.judge import Quality, Verdict
from saferollout.judge.betting.event_rates import HARM_RATIOS


def test_zeros_and_ones_make_a_sign_test() -> None:
    """Three pairs worse, one better, many ties: the mean over θ of a³·b with a = 2θ/(θ+1), b = 2/(θ+1)."""
    test = Quality(autocorrelation=0, reserve=0)

    test.update([1, 1, 1, 0, 0, 1], [0, 0, 0, 1, 0, 1])

    expected = np.mean([(2 * r / (r + 1)) ** 3 * 2 / (r + 1) for r in HARM_RATIOS])
    assert test.e_value == pytest.approx(expected)


def test_a_margin_costs_by_the_pair() -> None:
    """With a margin of m each pair costs exp(−(a−1)·m), whether it differs or not."""
    test = Quality(margin=0.1, tolerance=0.2, autocorrelation=0, reserve=0)

    test.update([1, 0], [0, 0])

    a = 2 * HARM_RATIOS / (HARM_RATIOS + 1)
    assert test.e_value == pytest.approx(np.mean(a * np.exp(-(a - 1) * 0.1 * 2)))


@pytest.mark.slow
@given(
    worse=st.floats(0, 0.5),
    better=st.floats(0, 0.5),
    size=st.floats(0.1, 1),
    margin=st.floats(0, 0.5),
)
def test_the_mean_under_the_null_is_at_most_one(worse: float, better: float, size: float, margin: float) -> None:
    """Over all outcomes of four pairs (worse, better or even by some size) no wealth exceeds one on its null's side."""
    outcomes = [(size, 0.0, worse), (0.0, size, better), (0.3, 0.3, 1 - worse - better)]
    tolerance = margin + 0.1
    harm = health = 0.0
    for pairs in itertools.product(outcomes, repeat=4):
        test = Quality(margin=margin, tolerance=tolerance, autocorrelation=0)
        test.update([pair[0] for pair in pairs], [pair[1] for pair in pairs])
        chance = math.prod(pair[2] for pair in pairs)
        harm += chance * test.e_value
        health += chance * test.e_value_healthy

    difference = size * (worse - better)
    assert difference > margin or harm <= 1 + 1e-9
    assert difference < tolerance or health <= 1 + 1e-9


def test_worse_answers_are_caught_and_equal_ones_proven() -> None:
    """A model wrong twice as often is harmful; one that is right as often is proven so within the tolerance."""
    rng = np.random.default_rng(9)
    worse, same = Quality(), Quality(tolerance=0.05)

    worse.update(rng.random(2000) < 0.2, rng.random(2000) < 0.1)
    losses = rng.random(4000) < 0.1
    same.update(losses, np.roll(losses, 5))

    assert worse.verdict is Verdict.HARMFUL
    assert same.verdict is Verdict.HEALTHY


def test_the_limits_hold_the_difference() -> None:
    """The interval contains the observed difference, excludes zero once harm is shown, and is all of it before data."""
    test = Quality(reserve=0)
    assert test.interval == (-1.0, 1.0)

    test.update([1] * 60 + [0] * 240, [0] * 300)

    low, high = test.interval
    assert 0 < low < test.difference == 0.2 < high
    assert test.words == (
        "after 300 answers with a known truth the mean loss is 0.2 against 0, "
        f"a difference of {low:+.3g} to {high:+.3g} (α = 0.05): harmful"
    )


def test_it_goes_on_after_a_restart() -> None:
    """Evidence survives JSON, and portions do not matter."""
    test = Quality(0.01, 0.01, 0.05, autocorrelation=0.1)
    test.update([1, 0, 0.5], [0, 0, 1])

    copy = Quality.from_dict(json.loads(json.dumps(test.to_dict())))
    test.update([1], [0])
    copy.update([1], [0])

    assert copy.to_dict() == test.to_dict()


def test_long_portions_equal_short_ones() -> None:
    """Without a reserve two hundred pairs at once give what they give one by one."""
    rng = np.random.default_rng(10)
    candidate, live = rng.random(200), rng.random(200)
    once, often = Quality(reserve=0), Quality(reserve=0)

    once.update(candidate, live)
    for pair in zip(candidate, live, strict=True):
        often.update([pair[0]], [pair[1]])

    assert often.log_e_value == pytest.approx(once.log_e_value)
    assert often.log_e_value_healthy == pytest.approx(once.log_e_value_healthy)


def test_impossible_losses_are_refused() -> None:
    """Losses outside [0, 1], and of different number, are refused; none are not evidence."""
    test = Quality()

    with pytest.raises(ValueError, match="candidate losses must lie in"):
        test.update([2], [0])
    with pytest.raises(ValueError, match="as many losses, not 2 and 1"):
        test.update([0, 0], [0])
    assert test.update([], []) is Verdict.UNDECIDED
    assert test.difference == 0.0


def test_the_forecast_gives_the_direction() -> None:
    """More pairs worse than better point to harm."""
    test = Quality()
    test.update([1] * 5 + [0] * 95, [0] * 98 + [1] * 2)

    harm, health = test.exposure_until()

    assert harm is not None
    assert health is None
