"""How much slower still counts as the same."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saferollout.judge import Batch, Judge, Settings, Verdict, cut_points_ms
from saferollout.judge.betting.allowance import Allowance

LATENCIES = st.floats(0, 1e5)


def test_the_larger_allowance_holds() -> None:
    """A share of long latencies, milliseconds on short ones; what is allowed and what is taken off fit together."""
    allowance = Allowance(0.25, 10)

    assert allowance.on(np.array([4.0, 40.0, 400.0])).tolist() == [14.0, 50.0, 500.0]
    assert allowance.off(np.array([3.0, 14.0, 50.0, 500.0])).tolist() == [0.0, 4.0, 40.0, 400.0]
    assert (str(allowance), str(Allowance())) == (" by more than 25% and 10 ms", "")


@given(LATENCIES, LATENCIES, st.floats(0, 3), st.floats(0, 1000))
def test_off_is_the_way_back(candidate: float, live: float, share: float, ms: float) -> None:
    """A candidate's latency exceeds what a live one allows just if it exceeds it once the allowance is taken off."""
    allowance = Allowance(share, ms)
    allowed = float(allowance.on(np.array([live]))[0])
    if math.isclose(candidate, allowed, rel_tol=1e-9, abs_tol=1e-9):
        return  # rounding decides

    assert (candidate > allowed) == bool(allowance.off(np.array([candidate]))[0] > live)


@pytest.mark.parametrize("wrong", [(-0.1, 0), (0, -1), (math.nan, 0)])
def test_impossible_allowances_are_refused(wrong: tuple[float, float]) -> None:
    """Being faster is not what an allowance is for."""
    with pytest.raises(ValueError, match="slack"):
        Allowance(*wrong)


@pytest.mark.slow
def test_false_alarms_stay_below_alpha_at_the_edge_of_the_allowance() -> None:
    """Of 200 candidates exactly as slow as is allowed, in runs of slow requests, fewer than α (and 3 errors) stop."""
    rng = np.random.default_rng(21)
    cuts = tuple(cut_points_ms(rng.lognormal(5, 0.4, 50)))
    settings = Settings(cut_points_ms=cuts, comparisons={"latency": {"slack": 0.25, "slack_ms": 25}})

    def latencies() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        noise = rng.normal(size=11)
        return np.exp(5 + 0.4 * (0.3 * noise[:-1] + math.sqrt(1 - 0.09) * noise[1:]))

    alarms = 0
    for _ in range(200):
        judge = Judge(settings)
        for _ in range(40):
            live = latencies()
            judge.update(Batch(10, 0, 10, 0, 1.25 * latencies(), live))
        alarms += judge.verdict is Verdict.HARMFUL

    assert alarms / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
