"""Several tests with one verdict."""

import json
import math
from typing import Any

import numpy as np
import pytest

from saferollout.judge import Batch, ErrorRate, ErrorRateSlo, Judge, Settings, Verdict

EVERYTHING = Settings(
    cut_points_ms=(100.0, 200.0),
    comparisons={
        "error_rate_slo": 0.05,
        "latency": {"warm_up": 2},
        "prediction_drift": {"tolerance": 0.05},
        "output_drift": {"labels": ("a", "b")},
        "quality": {"margin": 0.0},
    },
)
MIXED = Batch(
    20, 1, 80, 2, [90.0, 150.0] * 10, [90.0, 150.0] * 40, [0.0, 1.0] * 5, [0.0, 1.0], [1.0, 0.0], ["a"], ["a", "b"], 1.0
)


def test_harm_is_the_average_of_the_tests() -> None:
    """With two tests the judge's e-value is half the sum of theirs."""
    judge = Judge(Settings(comparisons={"error_rate_slo": 0.05}))
    ratio, slo = ErrorRate(), ErrorRateSlo(slo=0.05)

    judge.update(Batch(100, 9, 900, 20))
    ratio.update(100, 9, 900, 20)
    slo.update(100, 9)

    assert judge.e_value == pytest.approx((ratio.e_value + slo.e_value) / 2)


def test_health_is_a_ratio_or_a_negligible_rate() -> None:
    """The evidence for health is half the sum of both proofs; either alone is enough."""
    judge, ratio, negligible = Judge(), ErrorRate(), ErrorRateSlo(slo=0.01)
    for _ in range(3):
        judge.update(Batch(100, 0, 100, 0))
        ratio.update(100, 0, 100, 0)
        negligible.update(100, 0)
    assert judge.e_value_healthy == pytest.approx((ratio.e_value_healthy + negligible.e_value_healthy) / 2)
    assert judge.verdict is Verdict.UNDECIDED

    without_errors = [judge.update(Batch(100, 0, 100, 0)) for _ in range(4)]
    many_errors = Judge()
    with_errors = [many_errors.update(Batch(100, 5, 100, 5)) for _ in range(100)]

    assert without_errors[-1] is Verdict.HEALTHY
    assert "the limit is 1.00%" in judge.words
    assert with_errors[-1] is Verdict.HEALTHY
    assert "× the live one" in many_errors.words


def test_a_higher_but_negligible_rate_is_healthy_until_it_is_shown_to_be_higher() -> None:
    """Harm beats health: 0.2 % is negligible, but five times the live rate is still harm once it is proven."""
    judge = Judge()

    verdicts = [judge.update(Batch(1000, 2, 5000, 2)) for _ in range(60)]

    assert Verdict.HEALTHY in verdicts
    assert verdicts[-1] is Verdict.HARMFUL
    assert judge.words.endswith("harmful")


def test_requests_without_a_counterpart_tell_of_the_rate_only() -> None:
    """With the live deployment out of sight nothing is compared, but a limit on the error rate can be shown broken."""
    judge = Judge(Settings(comparisons={"error_rate_slo": 0.05}))

    for _ in range(20):
        judge.update(Batch(alone_requests=20, alone_errors=10))

    assert judge.findings[0].comparison == "error_rate_slo"
    assert judge.verdict is Verdict.HARMFUL
    assert judge.comparisons["error_rate"].e_value == 1


def test_harm_is_final() -> None:
    """A harmful verdict stays, whatever comes."""
    judge = Judge()
    for _ in range(10):
        judge.update(Batch(100, 20, 900, 9))
    assert judge.verdict is Verdict.HARMFUL

    judge.update(Batch(100_000, 0, 100_000, 1000))

    assert judge.e_value < 20
    assert judge.verdict is Verdict.HARMFUL
    assert judge.forecast is None


def test_several_suspicions_add_up() -> None:
    """Two tests, neither of which reaches its own share K/α, are harmful together once their average reaches 1/α."""
    judge = Judge(Settings(comparisons={"error_rate_slo": 0.01}))

    while judge.verdict is Verdict.UNDECIDED:
        judge.update(Batch(10, 1, 90, 2))

    assert all(finding.alarm == pytest.approx(40) for finding in judge.findings)
    assert judge.e_value >= 20


@pytest.mark.slow
@pytest.mark.slow
def test_false_alarms_stay_below_alpha_with_all_tests() -> None:
    """Of 200 healthy candidates judged by every test, fewer than 5 % plus three standard errors are stopped."""
    rng = np.random.default_rng(15)
    alarms = 0
    for _ in range(200):
        judge = Judge(EVERYTHING)
        for _ in range(30):
            judge.update(
                Batch(
                    20,
                    rng.binomial(20, 0.02),
                    80,
                    rng.binomial(80, 0.02),
                    rng.lognormal(4.6, 0.5, 20),
                    rng.lognormal(4.6, 0.5, 80),
                    rng.random(20) < 0.05,
                    rng.random(20) < 0.1,
                    rng.random(20) < 0.1,
                    rng.choice(["a", "b"], 20).tolist(),
                    rng.choice(["a", "b"], 80).tolist(),
                    1.0,
                )
            )
        alarms += judge.verdict is Verdict.HARMFUL

    assert alarms / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)


@pytest.mark.parametrize(
    ("name", "batch"),
    [
        ("error_rate", Batch(100, 20, 100, 1)),
        ("error_rate_slo", Batch(100, 20, 0, 0)),
        (
            "latency",
            Batch(candidate_latencies_ms=[250.0] * 6 + [50.0] * 6, live_latencies_ms=[150.0] * 6 + [90.0] * 60),
        ),
        ("latency_shift", Batch(candidate_latencies_ms=[99.0] * 20, live_latencies_ms=[50.0] * 20)),
        ("prediction_drift", Batch(disagreements=[1.0] * 20)),
        ("output_drift", Batch(candidate_answers=["b"] * 20, live_answers=["a"] * 20)),
        ("quality", Batch(candidate_losses=[1.0] * 20, live_losses=[0.0] * 20)),
    ],
)
def test_each_test_alone_can_stop_the_candidate(name: str, batch: Batch) -> None:
    """Harm that only one test sees makes the verdict harmful, and its finding comes first and gives the words."""
    judge = Judge(EVERYTHING)

    for _ in range(40):
        if judge.update(batch) is Verdict.HARMFUL:
            break

    assert judge.verdict is Verdict.HARMFUL
    assert judge.findings[0].comparison == name
    assert judge.words.rpartition(": ")[0] in judge.findings[0].words
    assert judge.words.endswith(": harmful")


def test_required_tests_must_prove_health_too() -> None:
    """With drift required, a negligible error rate is not enough until agreement is proven as well."""
    judge = Judge(Settings(comparisons={"prediction_drift": {"tolerance": 0.05}}, required=("prediction_drift",)))

    assert judge.update(Batch(2000, 0, 2000, 0)) is Verdict.UNDECIDED
    assert judge.update(Batch(disagreements=[0.0] * 200)) is Verdict.HEALTHY


def test_a_required_test_must_be_configured() -> None:
    """A name that is not a configured test is refused with those that are."""
    with pytest.raises(ValueError, match=r"not configured: latency \(there are error_rate\)"):
        Judge(Settings(required=("latency",)))
    with pytest.raises(ValueError, match="alpha must lie in"):
        Judge(Settings(alpha=0))


def test_a_required_comparison_without_anything_to_compare_with_is_left_out() -> None:
    """Latencies are to be compared, but no live one is known from before: health does not wait for them for ever."""
    judge = Judge(Settings(comparisons={"latency": {}}, required=("latency", "latency_shift")))

    assert judge.update(Batch(2000, 0, 2000, 0)) is Verdict.HEALTHY
    with pytest.raises(ValueError, match="not configured: latency_shift"):
        Judge(Settings(cut_points_ms=(100.0,), required=("latency_shift",)))


@pytest.mark.parametrize(
    ("comparisons", "message"),
    [
        ({"latency": {"slo": 800, "slo_ms": 800}}, "unexpected keyword argument 'slo'"),
        ({"prediction_drift": {"tolerance": 0.1, "kind": "labels"}}, "unexpected keyword argument 'kind'"),
    ],
)
def test_a_section_holds_only_what_its_comparison_knows(comparisons: dict[str, Any], message: str) -> None:
    """A key of a section that nobody reads is a mistake of the caller."""
    with pytest.raises(TypeError, match=message):
        Judge(Settings(comparisons=comparisons))


def test_the_forecast_counts_in_minutes_at_this_traffic() -> None:
    """At 100 error-free requests a minute health is about four minutes away after one, and says so."""
    judge = Judge()
    judge.update(Batch(100, 0, 100, 0, duration_s=60))

    forecast = judge.forecast

    assert forecast is not None
    assert forecast.verdict is Verdict.HEALTHY
    assert forecast.minutes == pytest.approx(forecast.requests / 100)
    assert forecast.minutes == pytest.approx(5, abs=0.3)
    assert judge.words.endswith("if it goes on like this, about 5 more minutes at this traffic would show it healthy")


def test_the_forecast_counts_requests_where_time_is_unknown() -> None:
    """Without durations it speaks of requests."""
    judge = Judge()
    assert judge.forecast is None

    judge.update(Batch(300, 9, 2700, 30))

    assert "more requests would show it harmful" in judge.words


def test_the_forecast_waits_for_what_is_required() -> None:
    """Health is as far away as its slowest proof; without data of a required test it is not in sight."""
    judge = Judge(Settings(comparisons={"prediction_drift": {"tolerance": 0.05}}, required=("prediction_drift",)))
    judge.update(Batch(400, 0, 400, 0, duration_s=60))
    assert judge.forecast is None or judge.forecast.verdict is Verdict.HARMFUL

    judge.update(Batch(disagreements=[0.0] * 10))

    assert judge.forecast is not None
    assert judge.forecast.verdict is Verdict.HEALTHY
    assert judge.forecast.minutes == pytest.approx(9, abs=1)


def test_it_goes_on_after_a_restart() -> None:
    """All evidence, the history and the verdict survive JSON, and the next batch gives the same."""
    judge = Judge(EVERYTHING)
    for _ in range(5):
        judge.update(MIXED)

    copy = Judge.from_dict(json.loads(json.dumps(judge.to_dict())))
    judge.update(MIXED)
    copy.update(MIXED)

    assert json.dumps(copy.to_dict()) == json.dumps(judge.to_dict())
    assert copy.findings == judge.findings
    assert copy.words == judge.words


def test_two_sources_with_different_error_rates_do_not_make_harm() -> None:
    """Probes that fail more often than users, and go more to the candidate, are not evidence in own batches."""
    judge = Judge()

    for _ in range(100):
        judge.update(Batch(1000, 100, 1000, 100))
        judge.update(Batch(100, 0, 9900, 10))

    assert judge.verdict is not Verdict.HARMFUL
