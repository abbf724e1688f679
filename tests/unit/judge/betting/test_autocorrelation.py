"""Bets that stay fair when errors come in runs."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saferollout.judge.betting.autocorrelation import allow_for_runs
from saferollout.judge.betting.event_rates import log_bets
from saferollout.judge.betting.intervals import log_returns


def growth(rate: float, factor: float, autocorrelation: float) -> float:
    """Return the log-growth a request of E[∏ factor^error] over a two-state Markov chain, from its transfer matrix."""
    start, stay = rate * (1 - autocorrelation), rate + autocorrelation * (1 - rate)
    transfer = np.array([[1 - start, start * factor], [1 - stay, stay * factor]])
    return float(np.log(np.abs(np.linalg.eigvals(transfer)).max()))


def test_without_autocorrelation_the_bet_stays_as_it_is() -> None:
    """With autocorrelation 0 the formula of independent errors holds unchanged."""
    assert allow_for_runs(3.5, 0.0) == 3.5


def test_no_error_pays_more_than_the_run_length_allows() -> None:
    """However large the bet, one error of a run pays less than 1/r: with r = 0.3 a hand-computed 10/3.7 for 10."""
    assert allow_for_runs(10.0, 0.3) == pytest.approx(10 / 3.7)
    assert allow_for_runs(1e12, 0.3) < 1 / 0.3


@given(
    factor=st.fractions(Fraction(1, 10), Fraction(50), max_denominator=100),
    autocorrelation=st.fractions(Fraction(0), Fraction(9, 10), max_denominator=20),
)
def test_a_geometric_run_pays_the_independent_bet_on_average(factor: Fraction, autocorrelation: Fraction) -> None:
    """E[a'^S] over a run S with P(S = k) = (1−r)·r^(k−1) is exactly a: (1−r)a' / (1−ra') = a, in fractions."""
    adjusted = factor / (1 - autocorrelation + autocorrelation * factor)

    assert (1 - autocorrelation) * adjusted / (1 - autocorrelation * adjusted) == factor
    assert allow_for_runs(float(factor), float(autocorrelation)) == pytest.approx(float(adjusted))


@given(
    rate=st.floats(1e-4, 0.99),
    autocorrelation=st.floats(0.0, 0.8),
    share=st.floats(0.01, 0.99),
    null=st.floats(0.5, 3.0),
    ratio=st.floats(0.05, 40.0),
)
def test_wealth_does_not_grow_under_the_null_for_autocorrelated_errors(
    rate: float, autocorrelation: float, share: float, null: float, ratio: float
) -> None:
    """With both deployments' errors Markov chains of autocorrelation r at the null ratio, E grows at no rate at all."""
    if rate * null >= 1:
        rate /= 2 * null
    a, b = np.exp(log_bets(null, null * ratio, share, autocorrelation))

    total = share * growth(rate * null, float(a), autocorrelation) + (1 - share) * growth(
        rate, float(b), autocorrelation
    )

    assert total <= 1e-9


@given(
    limit=st.floats(1e-3, 0.5),
    autocorrelation=st.floats(0.0, 0.8),
    multiple=st.floats(0.01, 20.0),
    closeness=st.floats(0.0, 1.0),
)
def test_wealth_against_a_limit_does_not_grow_on_the_nulls_side(
    limit: float, autocorrelation: float, multiple: float, closeness: float
) -> None:
    """A bet on more never grows at rates up to the limit, a bet on less never at rates from the limit on."""
    rate = limit * closeness if multiple > 1 else limit + (0.99 - limit) * (1 - closeness)
    rate = max(rate, 1e-6)
    one, multiples = np.ones(1), np.array([multiple])
    per_error = float(log_returns(limit, multiples, 0 * one, one, autocorrelation)[0, 0])
    per_request = float(log_returns(limit, multiples, one, 0 * one, autocorrelation)[0, 0])

    assert per_request + growth(rate, float(np.exp(per_error)), autocorrelation) <= 1e-9
