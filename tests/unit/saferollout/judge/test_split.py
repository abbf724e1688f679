"""Who answers whom, against simulated routing."""

import math
from collections import Counter

import numpy as np
import pytest

from saferollout.judge.split import ALPHA, Arrival, log_mismatch

SHIFTS = [
    ({"blue": 100}, {"blue": 90, "green": 10}),
    ({"blue": 90, "green": 10}, {"green": 100}),
    ({"blue": 90, "green": 10}, {"blue": 100}),
    ({"blue": 90, "green": 10}, {"blue": 50, "green": 50}),
    ({"green": 100}, {"blue": 100}),
]


def routed(split: dict[str, int], n: int, seed: int) -> list[str]:
    """Who answers `n` requests under a split."""
    shares = np.array(list(split.values())) / sum(split.values())
    return [str(name) for name in np.random.default_rng(seed).choice(list(split), size=n, p=shares)]


@pytest.mark.parametrize(("old", "new"), SHIFTS)
def test_a_shift_is_seen_soon_after_it_arrives(old: dict[str, int], new: dict[str, int]) -> None:
    """However long the old split lasts, two hundred requests of the new one are enough, and mostly far fewer."""
    for seed in range(100):
        arrival = Arrival(old, new)
        for deployment in routed(new, 200, seed):
            arrival.see(deployment)
            if arrival.is_here:
                break
        assert arrival.is_here, (seed, arrival.counts)


@pytest.mark.parametrize(("old", "new"), SHIFTS)
def test_the_old_split_is_seldom_taken_for_the_new_one(old: dict[str, int], new: dict[str, int]) -> None:
    """A hundred requests under the old split raise a false alarm in at most one of ten runs: 100 α."""
    false = 0
    for seed in range(200):
        arrival, steps = Arrival(old, new), routed(old, 100, seed)
        for deployment in steps:
            arrival.see(deployment)
            if arrival.is_here:
                false += 1
                break
    assert false <= 200 * 0.15
    assert not Arrival(old, new).is_here  # nothing seen is no evidence


def test_a_split_that_was_never_set_is_neither() -> None:
    """What is neither the old split nor the new one does not pass for the new one."""
    arrival = Arrival({"blue": 100}, {"blue": 90, "green": 10})
    for deployment in routed({"blue": 40, "green": 60}, 400, 1):
        arrival.see(deployment)
    assert not arrival.is_here
    assert log_mismatch(Counter(routed({"blue": 40, "green": 60}, 400, 1)), {"blue": 90, "green": 10}) > 50


def test_the_multinomial_test_keeps_its_promise() -> None:
    """Looking after every request, at most a share α of fair splits is ever called a mismatch; unfair ones are."""
    shares = {"blue": 90.0, "green": 10.0}
    wrong = 0
    for seed in range(300):
        counts: Counter[str] = Counter()
        for deployment in routed({"blue": 90, "green": 10}, 300, seed):
            counts[deployment] += 1
            if log_mismatch(counts, shares) >= -math.log(ALPHA):
                wrong += 1
                break
    assert wrong <= 300 * ALPHA + 3
    assert log_mismatch({"blue": 800, "green": 200}, shares) > -math.log(1e-6)
    assert log_mismatch({"blue": 5, "red": 1}, shares) == math.inf
    assert log_mismatch({}, shares) == pytest.approx(0.0)
