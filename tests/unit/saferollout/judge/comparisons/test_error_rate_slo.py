"""The test of an error rate against a limit."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saferollout.judge import ErrorRateSlo, Verdict, rate_interval


def test_health_without_an_error_by_hand() -> None:
    """Without errors the bets on 0, ⅛, ¼, ½, 0.7 and 0.85 of the limit pay exp((1−m)·s·n): n = 400, s = 1 %."""
    test = ErrorRateSlo(slo=0.01, autocorrelation=0)

    test.update(400, 0)

    expected = 0.5 * math.exp(4) + 0.1 * sum(math.exp(4 * (1 - m)) for m in (1 / 8, 1 / 4, 1 / 2, 0.7, 0.85))
    assert test.e_value_healthy == pytest.approx(expected)


def test_harm_by_hand() -> None:
    """Ten errors in a hundred against a limit of 5 %: the bet on m pays m¹⁰·exp(−(m−1)·5); 40× is beyond all rates."""
    test = ErrorRateSlo(slo=0.05, autocorrelation=0, reserve=0)
    multiples = [1.1, 1.25, 1.5, 2, 3, 5, 10]

    test.update(100, 10)

    assert test.e_value == pytest.approx(np.mean([m**10 * math.exp(-(m - 1) * 5) for m in multiples]))


@pytest.mark.parametrize(("autocorrelation", "requests"), [(0.0, 346), (0.3, 493)])
def test_few_hundred_requests_without_an_error_prove_less_than_a_percent(autocorrelation: float, requests: int) -> None:
    """At α = 0.05 independent requests take about 350, such with runs of errors about 500."""
    test = ErrorRateSlo(autocorrelation=autocorrelation)

    assert test.update(requests - 10, 0) is Verdict.UNDECIDED
    assert test.update(10, 0) is Verdict.HEALTHY


def test_a_rate_above_the_limit_is_harmful() -> None:
    """Five errors in a hundred are above 1 %."""
    test = ErrorRateSlo()

    for errors in [3, 2] * 5:
        verdict = test.update(50, errors)

    assert verdict is Verdict.HARMFUL


@given(rate=st.floats(0.0, 1.0), limit=st.floats(0.01, 0.5))
def test_the_mean_under_the_null_is_at_most_one(rate: float, limit: float) -> None:
    """Over all outcomes of ten requests neither direction's wealth exceeds one on average on its null's side."""
    chances = [math.comb(10, k) * rate**k * (1 - rate) ** (10 - k) for k in range(11)]
    harm = health = 0.0
    for errors, chance in enumerate(chances):
        test = ErrorRateSlo(slo=limit, autocorrelation=0)
        test.update(10, errors)
        harm += chance * test.e_value
        health += chance * test.e_value_healthy

    assert rate > limit or harm <= 1 + 1e-9
    assert rate < limit or health <= 1 + 1e-9


def test_batches_may_be_cut_anywhere() -> None:
    """Evidence depends on totals only up to the reserve; without one it is the same for any cut."""
    one, many = ErrorRateSlo(reserve=0), ErrorRateSlo(reserve=0)

    one.update(100, 3)
    for requests, errors in ((10, 1), (40, 0), (0, 0), (50, 2)):
        many.update(requests, errors)

    assert many.log_e_value == pytest.approx(one.log_e_value)
    assert many.log_e_value_healthy == pytest.approx(one.log_e_value_healthy)


def test_it_goes_on_after_a_restart() -> None:
    """Settings and evidence survive JSON."""
    test = ErrorRateSlo(0.01, 0.02, autocorrelation=0.1, reserve=0.1)
    test.update(100, 3)

    copy = ErrorRateSlo.from_dict(json.loads(json.dumps(test.to_dict())))

    assert copy.to_dict() == test.to_dict()
    assert copy.update(10, 1) is test.update(10, 1)
    assert copy.words == test.words


def test_the_finding_in_words() -> None:
    """The sentence tells the range of the rate and the limit."""
    test = ErrorRateSlo()
    test.update(1000, 0)
    assert test.words == (
        "after 1,000 candidate requests the error rate is below 0.49%, the limit is 1.00% (α = 0.05): healthy"
    )
    test.update(1000, 100)
    assert "between" in test.words
    assert test.words.endswith("harmful")


def test_the_limits_agree_with_the_verdict() -> None:
    """The rate's upper limit passes below the SLO exactly when the verdict becomes healthy."""
    for requests in range(400, 600, 7):
        test = ErrorRateSlo()
        verdict = test.update(requests, 0)
        assert (rate_interval(0, requests)[1] < 0.01) == (verdict is Verdict.HEALTHY)


def test_a_rate_without_requests_may_be_anything() -> None:
    """No requests, no knowledge."""
    assert rate_interval(0, 0) == (0.0, 1.0)


def test_the_interval_covers_the_rate_at_all_times() -> None:
    """In 200 watches each limit is ever wrong in at most 5 % plus three standard errors."""
    rng = np.random.default_rng(3)
    wrong = np.zeros(2)
    for _ in range(200):
        errors = np.cumsum(rng.binomial(50, 0.05, 20))
        limits = np.array([rate_interval(k, 50 * (i + 1), autocorrelation=0.0) for i, k in enumerate(errors)])
        wrong += [limits[:, 0].max() > 0.05, limits[:, 1].min() < 0.05]

    assert (wrong / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)).all()


def test_the_forecast_counts_down() -> None:
    """Without errors health is so many requests away as it takes from here; harm is nowhere in sight."""
    test = ErrorRateSlo()
    test.update(100, 0)

    until_harm, until_health = test.exposure_until()

    assert until_health == pytest.approx(392, abs=2)
    assert until_harm is None or until_harm > 1000


def test_impossible_settings_are_refused() -> None:
    """A limit of nothing or of everything is no limit."""
    for slo in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="slo must lie in"):
            ErrorRateSlo(slo=slo)
