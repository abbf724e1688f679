"""The test on the mean of values in [0, 1], and prediction drift, which is one."""

import itertools
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saferollout.judge import BoundedMean, PredictionDrift, Verdict
from saferollout.judge.betting.bounded_mean import STAKES


def test_harm_is_the_average_of_capital_processes_over_blocks() -> None:
    """Blocks of two with a gap of one: K = mean over c of (1 + c(D̄₁/m − 1))(1 + c(D̄₂/m − 1)), in fractions."""
    test = BoundedMean(limit=0.25, block=2, gap=1, reserve=0)

    test.update([1, 0, 1, 0.5, 0, 0])  # blocks (1, 0) and (0.5, 0); the third and sixth value are gaps

    stakes = [Fraction(str(stake)) for stake in STAKES]
    expected = sum((1 + c * (Fraction(1, 2) * 4 - 1)) * (1 + c * (Fraction(1, 4) * 4 - 1)) for c in stakes) / len(
        stakes
    )
    assert test.e_value == pytest.approx(float(expected))


@given(values=st.lists(st.floats(0, 1), max_size=80), cuts=st.lists(st.integers(0, 80), max_size=6))
def test_values_may_come_in_any_portions(values: list[float], cuts: list[int]) -> None:
    """Blocks and gaps go on across updates, so portions do not matter."""
    together, apart = BoundedMean(limit=0.3), BoundedMean(limit=0.3)

    together.update(values)
    borders = sorted({0, len(values), *(min(cut, len(values)) for cut in cuts)})
    for start, end in itertools.pairwise(borders):
        apart.update(values[start:end])

    assert apart.log_e_value == pytest.approx(together.log_e_value)
    assert apart.log_e_value_healthy == pytest.approx(together.log_e_value_healthy)
    assert apart.count == together.count


@pytest.mark.slow
@given(mean=st.floats(0.0, 1.0), limit=st.floats(0.05, 0.9))
def test_the_mean_under_the_null_is_at_most_one(mean: float, limit: float) -> None:
    """Over all 2⁶ outcomes of six zeros and ones neither wealth exceeds one on average on its null's side."""
    harm = health = 0.0
    for values in itertools.product((0, 1), repeat=6):
        chance = math.prod(mean if value else 1 - mean for value in values)
        test = BoundedMean(limit=limit, block=2, gap=0, autocorrelation=0)
        test.update(values)
        harm += chance * test.e_value
        health += chance * test.e_value_healthy

    assert mean > limit or harm <= 1 + 1e-9
    assert mean < limit or health <= 1 + 1e-9


def test_the_mean_stays_at_most_one_for_values_that_resemble_their_neighbours() -> None:
    """In 2,000 simulated Markov chains with autocorrelation 0.3 at the limit, E is one on average (three errors)."""
    rng = np.random.default_rng(21)
    state = rng.random(2000) < 0.1
    chains = []
    for _ in range(600):
        chains.append(state)
        state = rng.random(2000) < np.where(state, 0.1 + 0.3 * 0.9, 0.1 * 0.7)
    ends = []
    for chain in np.array(chains, dtype=float).T:
        test = BoundedMean(limit=0.1)
        test.update(chain)
        ends.append(test.e_value)

    assert np.mean(ends) <= 1 + 3 * np.std(ends) / math.sqrt(len(ends))


def test_false_alarms_stay_below_alpha_for_such_values() -> None:
    """Of 1,000 Markov chains at the limit fewer than 5 % plus three standard errors are ever called harmful."""
    rng = np.random.default_rng(22)
    state = rng.random(1000) < 0.05
    chains = []
    for _ in range(3000):
        chains.append(state)
        state = rng.random(1000) < np.where(state, 0.05 + 0.3 * 0.95, 0.05 * 0.7)
    alarms = sum(BoundedMean().update(chain) is Verdict.HARMFUL for chain in np.array(chains, dtype=float).T)

    assert alarms / 1000 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)


def test_complete_disagreement_is_caught_within_two_blocks() -> None:
    """A candidate that answers everything otherwise is harmful after two dozen pairs."""
    assert PredictionDrift(tolerance=0.02).update([1.0] * 22) is Verdict.HARMFUL


def test_little_spread_pays() -> None:
    """Scores that all differ by a little more than tolerated are caught soon, for they hardly scatter."""
    assert PredictionDrift(tolerance=0.05).update([0.08] * 150) is Verdict.HARMFUL


def test_agreement_is_proven() -> None:
    """Without any disagreement a few hundred pairs prove that it is below the tolerance."""
    drift = PredictionDrift(tolerance=0.05)

    assert drift.update([0.0] * 90) is Verdict.UNDECIDED
    assert drift.update([0.0] * 20) is Verdict.HEALTHY


def test_values_outside_are_refused() -> None:
    """A value that is not a number in [0, 1] is refused and changes nothing."""
    test = BoundedMean()

    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            test.update([0.5, wrong])
    with pytest.raises(ValueError, match="shape"):
        test.update([[0.5]])

    assert test.count == 0
    assert test.update([]) is Verdict.UNDECIDED


def test_it_goes_on_after_a_restart() -> None:
    """An open block survives JSON."""
    test = PredictionDrift(0.01, 0.02, block=4, gap=1)
    test.update([0, 1, 0.5, 0, 0, 1, 0])

    copy = PredictionDrift.from_dict(json.loads(json.dumps(test.to_dict())))
    test.update([1, 1, 1])
    copy.update([1, 1, 1])

    assert copy.to_dict() == test.to_dict()


def test_the_finding_in_words() -> None:
    """The sentence has pairs, disagreement with its limits, and the tolerance."""
    drift = PredictionDrift()
    drift.update([1.0, 0.0] * 50)

    assert drift.words == (
        "after 100 pairs the answers differ by 50.0% (25.0%–86.0%), 5.0% is tolerated (α = 0.05): harmful"
    )
    plain = BoundedMean(limit=0.05)
    plain.update([0.0] * 100)
    assert plain.words == "after 100 values the mean is 0 (0–0.0492), the limit is 0.05 (α = 0.05): healthy"


def test_the_forecast_gives_the_direction() -> None:
    """Disagreement above the tolerance points to harm, below it to health."""
    worse, better = PredictionDrift(tolerance=0.1), PredictionDrift(tolerance=0.1)
    worse.update([1, 0, 0, 0, 0, 0] * 8)
    better.update([0.0] * 30)

    assert worse.verdict is better.verdict is Verdict.UNDECIDED
    assert worse.exposure_until()[0] is not None
    assert worse.exposure_until()[1] is None
    assert better.exposure_until()[0] is None
    assert better.exposure_until()[1] == pytest.approx(20, abs=3)
