"""Quantiles of latency and their bands."""

import math

import numpy as np
import pytest

from saferollout.judge.betting.quantiles import LatencyHistogram, count_band


def test_the_histogram_knows_quantiles_to_two_percent() -> None:
    """Quantiles come back to within the width of a bucket, over the whole range."""
    values = np.geomspace(0.2, 600_000, 2001)
    histogram = LatencyHistogram()
    histogram.add(values)

    for p in (0.01, 0.5, 0.99):
        assert histogram.quantile(p) == pytest.approx(np.quantile(values, p), rel=0.025)
    assert histogram.requests == 2001


def test_an_empty_histogram_knows_nothing() -> None:
    """Without data the quantile is NaN and the band everything."""
    assert math.isnan(LatencyHistogram().quantile(0.5))
    assert LatencyHistogram().band(0.5) == (0.0, math.inf)


def test_a_band_needs_enough_values_beyond_the_quantile() -> None:
    """The p99 of fifty values has no upper limit, and its median has both."""
    histogram = LatencyHistogram()
    histogram.add(np.linspace(100, 200, 50))

    assert histogram.band(0.99)[1] == math.inf
    low, high = histogram.band(0.5)
    assert 100 < low < 150 < high < 200


def test_the_band_of_counts_inverts_the_beta_binomial_mixture() -> None:
    """The counts at the band's ends are not rejected, those a step beyond are; the ratio is computed by products."""
    n, p, prior, alpha = 60, 0.5, 100.0, 0.05

    def log_e(k: int) -> float:
        # B(k + a, n − k + b) / B(a, b) as a product of rising factorials.
        a, b = p * prior, (1 - p) * prior
        rising = [math.log(a + i) for i in range(k)] + [math.log(b + i) for i in range(n - k)]
        return math.fsum(rising) - math.fsum(math.log(prior + i) for i in range(n)) - n * math.log(0.5)

    low, high = count_band(n, p, alpha, prior)

    assert log_e(math.ceil(low)) < -math.log(alpha) <= log_e(math.ceil(low) - 2)
    assert log_e(math.floor(high)) < -math.log(alpha) <= log_e(math.floor(high) + 2)


def test_the_band_covers_the_quantile_at_all_times() -> None:
    """In 300 watches the band of the p90 ever misses in at most 5 % plus three standard errors."""
    rng = np.random.default_rng(6)
    truth = math.exp(4.6 + 0.5 * 1.2815515655446004)
    wrong = 0
    for _ in range(300):
        histogram = LatencyHistogram()
        missed = False
        for _ in range(20):
            histogram.add(rng.lognormal(4.6, 0.5, 25))
            low, high = histogram.band(0.9)
            missed = missed or not low <= truth <= high
        wrong += missed

    assert wrong / 300 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)
