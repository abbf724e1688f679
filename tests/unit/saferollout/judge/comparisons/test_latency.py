"""The test on latencies at cut points."""

import json
import math

import numpy as np
import pytest

from saferollout.judge import ErrorRate, Latency, Verdict, cut_points_ms


def test_one_cut_point_is_an_error_rate() -> None:
    """With a single cut point "slower than L" is judged exactly as an error would be."""
    latency, ratio = Latency([100]), ErrorRate()

    latency.update([50, 150, 100], [50, 60, 70, 170, 90])
    ratio.update(3, 1, 5, 1)

    assert latency.log_e_value == pytest.approx(ratio.log_e_value)
    assert latency.log_e_value_healthy == pytest.approx(ratio.log_e_value_healthy)


def test_cut_points_are_averaged_for_harm_and_all_needed_for_health() -> None:
    """The e-value for harm is the mean over cut points, that for health the smallest (no reserve)."""
    latency = Latency([100, 200], reserve=0)
    ratios = [ErrorRate(reserve=0), ErrorRate(reserve=0)]

    latency.update([50, 150, 250], [50, 60, 170, 90, 210])
    ratios[0].update(3, 2, 5, 2)
    ratios[1].update(3, 1, 5, 1)

    assert latency.e_value == pytest.approx(np.mean([ratio.e_value for ratio in ratios]))
    assert latency.log_e_values == pytest.approx([ratio.log_e_value for ratio in ratios])
    assert latency.e_value_healthy == pytest.approx(min(ratio.e_value_healthy for ratio in ratios))


def test_a_slow_candidate_is_caught() -> None:
    """Half as slow again is harmful within a few hundred requests."""
    rng = np.random.default_rng(5)
    latency = Latency(cut_points_ms(rng.lognormal(4.6, 0.5, 1000)))

    for _ in range(40):
        verdict = latency.update(1.5 * rng.lognormal(4.6, 0.5, 10), rng.lognormal(4.6, 0.5, 90))

    assert verdict is Verdict.HARMFUL
    assert "candidate requests" in latency.words
    assert latency.words.endswith("harmful")


def test_an_allowance_forgives_what_no_user_feels() -> None:
    """A fifth slower or some milliseconds more is no harm where a quarter or 10 ms is allowed; a limit stays one."""
    rng = np.random.default_rng(6)
    cuts = cut_points_ms(rng.lognormal(4.6, 0.1, 1000))
    allowing, strict, limited = (
        Latency(cuts, slack=0.25, slack_ms=10),
        Latency(cuts),
        Latency(cuts, slack=0.25, slack_ms=10, slo_ms=cuts[0]),
    )

    for _ in range(100):
        live = rng.lognormal(4.6, 0.1, 10)
        for test in (allowing, strict, limited):
            test.update(1.2 * rng.lognormal(4.6, 0.1, 10), live)

    assert allowing.e_value < 1
    assert strict.verdict is limited.verdict is Verdict.HARMFUL
    assert f"take longer than {cuts[0]:.4g} ms" in limited.words


def test_warm_up_is_left_out() -> None:
    """The first requests of the candidate do not count."""
    latency = Latency([100], warm_up=3)

    latency.update([500, 500], [50] * 10)
    latency.update([500, 50], [50] * 10)
    assert latency.candidate_requests == 1
    assert latency.candidate.requests == 1


def test_it_goes_on_after_a_restart() -> None:
    """Warm-up, evidence and histograms survive JSON."""
    latency = Latency([100, 200], 0.01, 0.1, 1.0, warm_up=2)
    latency.update([50, 150, 250], [50, 60])

    copy = Latency.from_dict(json.loads(json.dumps(latency.to_dict())))
    latency.update([150], [250])
    copy.update([150], [250])

    assert copy.to_dict() == latency.to_dict()
    assert copy.candidate.quantile(0.5) == latency.candidate.quantile(0.5)


def test_impossible_input_is_refused() -> None:
    """Latencies that cannot be, and a test without cut points, are refused."""
    for wrong in ([-1.0], [math.nan], [math.inf]):
        with pytest.raises(ValueError, match="candidate latencies must be finite numbers ≥ 0"):
            Latency([100]).update(wrong, [1.0])
    with pytest.raises(ValueError, match=r"live latencies must be of shape \(T,\)"):
        Latency([100]).update([1.0], [[1.0]])
    for cuts in ([], [0.0], [math.inf]):
        with pytest.raises(ValueError, match="cut points must be"):
            Latency(cuts)
    with pytest.raises(ValueError, match="warm_up must be"):
        Latency([100], warm_up=-1)
    with pytest.raises(ValueError, match="need live latencies"):
        cut_points_ms([])


def test_no_data_is_no_evidence() -> None:
    """Empty batches change nothing, and the words say that there is nothing."""
    latency = Latency([100])

    assert latency.update([], []) is Verdict.UNDECIDED
    assert latency.words == ("after 0 candidate requests there are no latencies to compare (α = 0.05): undecided")
    assert latency.exposure_until() == (None, None)


def test_cut_points_follow_the_live_quantiles() -> None:
    """p50, p90, p95 and p99 of what live did before."""
    assert cut_points_ms(np.arange(1, 102)) == pytest.approx([51, 91, 96, 100])
