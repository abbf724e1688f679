"""The wealth of a mixture of bets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saferollout.judge.betting.wealth import RELEASE_SCALE, Wealth, as_e_value


def test_it_starts_at_one() -> None:
    """Before any data the evidence is one, with and without a reserve."""
    assert Wealth(np.array([0.5, 0.5])).log_e == 0.0
    assert Wealth(np.array([0.5, 0.5]), 0.25).log_e == 0.0


def test_without_a_reserve_it_is_the_weighted_mean_of_products() -> None:
    """Two bets with weights ¾ and ¼ after factors 2·3 and ½·½: ¾·6 + ¼·¼ = 4.5625."""
    wealth = Wealth(np.array([0.75, 0.25]))

    path = wealth.advance(np.log([[2.0, 0.5], [3.0, 0.5]]), np.array([0.0, 1.0]))

    assert np.exp(path) == pytest.approx([0.75 * 2 + 0.25 * 0.5, 4.5625])


def test_the_reserve_is_handed_out_with_exposure() -> None:
    """A reserve of ½ with one bet: at exposure 3·N₀ half of the reserve is left, the rest plays from there on."""
    wealth = Wealth(np.array([1.0]), 0.5)

    first = wealth.advance(np.log([[4.0]]), np.array([0.0]))
    second = wealth.advance(np.log([[2.0]]), np.array([3 * RELEASE_SCALE]))

    assert np.exp(first) == pytest.approx([0.5 * 4 + 0.5])
    assert np.exp(second) == pytest.approx([(0.5 * 4 + 0.25) * 2 + 0.25])


def test_harm_that_begins_late_is_not_buried() -> None:
    """After long health (log-wealth −500) ten factors of ten are enough to be rich again, thanks to the reserve."""
    wealth = Wealth(np.array([1.0]), 0.25)
    wealth.advance(np.full((5000, 1), -0.1), np.arange(5000.0))

    path = wealth.advance(np.full((10, 1), np.log(10.0)), np.arange(5000.0, 5010.0))

    assert path[-1] > np.log(20)


@given(
    returns=st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=1, max_size=30),
    cut=st.integers(0, 30),
    reserve=st.sampled_from([0.0, 0.25, 0.9]),
)
def test_rounds_may_be_played_one_by_one_or_together(
    returns: list[tuple[float, float]], cut: int, reserve: float
) -> None:
    """The path does not depend on how rounds are grouped into calls."""
    table, exposure = np.array(returns), np.arange(float(len(returns))) * 100
    together, apart, single = (Wealth(np.array([0.3, 0.7]), reserve) for _ in range(3))

    whole = together.advance(table, exposure)
    parts = np.concatenate((apart.advance(table[:cut], exposure[:cut]), apart.advance(table[cut:], exposure[cut:])))
    steps = np.concatenate([single.advance(table[i : i + 1], exposure[i : i + 1]) for i in range(len(table))])

    assert parts == pytest.approx(whole)
    assert steps == pytest.approx(whole)


@pytest.mark.slow
@given(odds=st.floats(0.05, 0.95), stakes=st.lists(st.floats(-0.9, 0.9), min_size=2, max_size=2))
def test_fair_bets_keep_the_mean_at_one(odds: float, stakes: list[float]) -> None:
    """Over all 2⁸ outcomes of eight coin tosses, weighed by their probability, the wealth is one on average."""
    tosses = (np.arange(256)[:, np.newaxis] >> np.arange(8)) & 1
    chance = np.prod(np.where(tosses == 1, odds, 1 - odds), axis=1)
    # A stake f on a coin with chance p pays 1 + f·(1/p − 1) or 1 − f: fair for every |f| < 1 that stays positive.
    low = min(odds / (1 - odds), 1.0)
    pays = np.array([[1 + f * low * (1 / odds - 1), 1 - f * low] for f in stakes])
    mean = 0.0
    for outcome, weight in zip(tosses, chance, strict=True):
        wealth = Wealth(np.array([0.5, 0.5]), 0.25)
        path = wealth.advance(
            np.log(np.where(outcome[:, np.newaxis] == 1, pays[:, 0], pays[:, 1])), np.arange(8.0) * 500
        )
        mean += weight * float(np.exp(path[-1]))

    assert mean == pytest.approx(1.0)


def test_state_of_other_bets_is_refused() -> None:
    """A state with another number of bets cannot be gone on from."""
    with pytest.raises(ValueError, match="the state has 1 bets, this test has 2"):
        Wealth(np.array([0.5, 0.5])).restore(Wealth(np.array([1.0])).state())


def test_huge_evidence_stays_a_number_for_json() -> None:
    """An e-value that overflows is capped instead of becoming infinite."""
    assert np.isfinite(as_e_value(1e6))
    assert as_e_value(0.0) == 1.0
