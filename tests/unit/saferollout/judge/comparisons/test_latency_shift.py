"""The sequential Mann-Whitney test."""

import itertools
import json
import math
from fractions import Fraction

import numpy as np
import pytest

from saferollout.judge import LatencyShift, Verdict
from saferollout.judge.betting.bounded_mean import STAKES
from saferollout.judge.comparisons.latency_shift import chance_of_slower


def test_the_chance_of_slower_counts_pairs() -> None:
    """Of the four pairs of (1, 3) and (2, 3) the candidate is slower in one and even in one: 1.5/4."""
    assert chance_of_slower(np.array([[1.0, 3.0]]), np.array([[2.0, 3.0]])).tolist() == [0.375]


def test_harm_and_health_are_averages_of_capital_processes() -> None:
    """Two blocks with U = 1 and ¾: the products of 1 + c(U/μ − 1), in fractions."""
    test = LatencyShift(delta=0.5, block=2, gap=0, reserve=0)

    test.update([3, 3], [1, 2])
    test.update([3, 2], [1, 2.5])

    stakes = [Fraction(str(stake)) for stake in STAKES]
    chances = (Fraction(1), Fraction(3, 4))
    harm = sum(math.prod(1 + c * (2 * u - 1) for u in chances) for c in stakes) / len(stakes)
    health = sum(math.prod(1 + c * ((1 - u) * 4 - 1) for u in chances) for c in stakes) / len(stakes)
    assert test.e_value == pytest.approx(float(harm))
    assert test.e_value_healthy == pytest.approx(float(health))


def test_the_mean_is_one_if_the_deployments_are_alike() -> None:
    """Over all ways to deal five latencies to two candidate and three live requests, E is one on average."""
    values = []
    for order in itertools.permutations(range(5)):
        test = LatencyShift(block=2, gap=0)
        test.update(order[:2], order[2:])
        values.append(test.e_value)

    assert np.mean(values) == pytest.approx(1.0)


def test_portions_do_not_matter_for_blocks_that_are_filled_together() -> None:
    """A block that fills over several updates equals one that comes at once."""
    once, often = LatencyShift(gap=0), LatencyShift(gap=0)

    once.update([5, 1, 4, 2, 6], [3, 3.5])
    for candidate, live in (([5, 1], [3]), ([4, 2], []), ([6], [3.5])):
        often.update(candidate, live)

    assert often.log_e_value == pytest.approx(once.log_e_value)
    assert once.blocks == often.blocks == 1


def test_a_full_block_waits_for_a_live_request() -> None:
    """Without live requests of the same time nothing is compared."""
    test = LatencyShift(block=2, gap=0)

    test.update([1, 2, 3, 4], [])
    assert test.blocks == 0
    test.update([], [2.5])
    assert test.blocks == 1


def test_slower_is_caught_and_the_same_is_not() -> None:
    """A shift by 25 % is harmful within a thousand requests; the same distribution with drift is not."""
    rng = np.random.default_rng(7)
    slower, same = LatencyShift(), LatencyShift()

    for level in np.linspace(4.0, 5.0, 100):
        slower.update(1.25 * rng.lognormal(level, 0.5, 10), rng.lognormal(level, 0.5, 90))
        same.update(rng.lognormal(level, 0.5, 10), rng.lognormal(level, 0.5, 90))

    assert slower.verdict is Verdict.HARMFUL
    assert same.verdict is Verdict.HEALTHY
    assert slower.words.startswith("after 1,000 candidate requests one is slower than a live one in ")


def test_false_alarms_stay_below_alpha_for_autocorrelated_latencies() -> None:
    """Of 600 healthy candidates with autocorrelation 0.3 fewer than 5 % plus three standard errors are stopped."""
    rng = np.random.default_rng(8)

    def correlated(shape: tuple[int, int]) -> np.ndarray:
        x = rng.standard_normal(shape)
        for i in range(1, shape[1]):
            x[:, i] = 0.3 * x[:, i - 1] + math.sqrt(1 - 0.3**2) * x[:, i]
        return np.exp(x)

    alarms = sum(
        LatencyShift().update(candidate, live) is Verdict.HARMFUL
        for candidate, live in zip(correlated((600, 1500)), correlated((600, 4500)), strict=True)
    )

    assert alarms / 600 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 600)


def test_warm_up_is_left_out() -> None:
    """The candidate's first requests do not count."""
    test = LatencyShift(block=1, gap=0, warm_up=2)

    test.update([9, 9, 1], [2])
    assert test.candidate_requests == 1
    assert test.chance == 0.0


def test_it_goes_on_after_a_restart() -> None:
    """An open block survives JSON."""
    test = LatencyShift(0.01, 0.1, 0.6, block=3, gap=1, warm_up=1)
    test.update([1, 2, 3], [4, 5])

    copy = LatencyShift.from_dict(json.loads(json.dumps(test.to_dict())))
    test.update([4, 5, 6], [1, 9])
    copy.update([4, 5, 6], [1, 9])

    assert copy.to_dict() == test.to_dict()


def test_the_forecast_gives_the_direction() -> None:
    """Before data there is none; slower points to harm only."""
    test = LatencyShift()
    assert test.exposure_until() == (None, None)

    for _ in range(3):
        test.update([2, 3, 4, 2, 1, 0, 0], [1.5, 2.5])

    harm, health = test.exposure_until()
    assert harm is not None
    assert harm > 0
    assert health is None or health > 0
