"""What the judge makes of latencies and answers, on a real scoring endpoint."""

import threading
from typing import Any

import pytest

from saferollout.domain.evidence import Evidence, GateVerdict
from tests.support.judging import LENIENT, THROTTLED, Broken, Progress, Script, probed, watched

pytestmark = pytest.mark.slow  # a watch takes its time

CUTS = [5.0, 10.0, 20.0]


BEFORE = Evidence(gate="smoke test", verdict=GateVerdict.PASSED, summary="", cut_points_ms=CUTS)


@pytest.mark.slow
async def test_a_slow_candidate_is_harm(endpoint: Any) -> None:
    """Not one request fails, but each takes 100 ms longer than the live deployment's: caught by default."""

    def slow(_: Any) -> Any:
        threading.Event().wait(0.1)
        return endpoint.reply(200, [1])

    evidence = await probed(endpoint, slow, earlier=BEFORE, min_duration_s=60, max_duration_s=60)

    assert evidence.verdict == "harmful"
    assert evidence.cut_points_ms == CUTS
    checks = {check.check: check for check in evidence.checks}
    assert not checks["evidence of harm (e-value)"].passed
    strongest = next(name for name in checks if name.endswith("(e-value)"))
    assert strongest in ("latency (e-value)", "latency shift (e-value)")  # each alone, or both together
    shown = checks["latency p50 / p95"]
    assert int(shown.candidate.split()[0]) >= 100 > int(shown.live.split()[0])


@pytest.mark.slow
async def test_what_no_user_feels_is_no_harm(endpoint: Any) -> None:
    """A candidate slower by a few milliseconds is healthy under the default allowance."""

    def slower(_: Any) -> Any:
        threading.Event().wait(0.005)
        return endpoint.reply(200, [1])

    evidence = await probed(endpoint, slower, earlier=BEFORE, min_duration_s=3, **LENIENT)

    assert evidence.verdict == "healthy"


LABEL = {"kind": "labels", "path": "predictions.0.label", "tolerance": 0.1}


@pytest.mark.slow
async def test_a_comparison_without_data_is_not_health(endpoint: Any) -> None:
    """Live answers lack the part that is to be compared: undecided with the reason, however good all else looks."""
    progress = Progress()

    evidence = await probed(
        endpoint,
        lambda _: endpoint.reply(200, [1]),
        prediction_drift=LABEL,
        max_duration_s=3,
        progress=progress,
        **LENIENT,
    )

    why = "prediction drift: no pair could be compared: live answers have no 'predictions.0.label'"
    assert evidence.verdict == "undecided"
    assert why in evidence.summary
    assert why in progress.findings[-1]
    assert 3 <= evidence.duration_s < 20


async def test_a_comparison_of_which_nothing_was_heard_is_not_health() -> None:
    """The source that has answers fails, another one says that all is well: still undecided, with the reason."""
    evidence = await watched(Broken(100, THROTTLED), Script(), prediction_drift=LABEL, max_duration_s=0.5, **LENIENT)

    assert evidence.verdict == "undecided"
    assert "prediction drift: no recorded request was answered by both deployments" in evidence.summary


@pytest.mark.parametrize("drift", [{"kind": "json"}, {"kind": "labels"}, {"kind": "vectors", "path": "0"}])
async def test_the_same_nan_on_both_sides_is_no_drift(endpoint: Any, drift: dict[str, Any]) -> None:
    """Python's JSON has NaN: a pair of answers with the same one agrees."""
    body = [[float("nan"), 1.0]]

    evidence = await probed(
        endpoint,
        lambda _: endpoint.reply(200, body),
        live=lambda _: endpoint.reply(200, body),
        prediction_drift={"tolerance": 0.1} | drift,
        min_duration_s=2,
        **LENIENT,
    )

    assert evidence.verdict == "healthy"
    assert "the answers differ by 0.0%" in next(check.note for check in evidence.checks if "drift" in check.check)


@pytest.mark.parametrize("error", ["no such column", {"error": "no such column"}])
async def test_errors_with_status_200_are_harm(endpoint: Any, error: Any) -> None:
    """Half of the answers are what a script returns that catches its exceptions; the evidence shows one of them."""
    evidence = await probed(
        endpoint, lambda number: endpoint.reply(200, error if number % 2 else [1]), min_duration_s=20
    )

    assert evidence.verdict == "harmful"
    assert evidence.duration_s < 20
    assert "no such column" in evidence.summary


async def test_worse_answers_are_harm(endpoint: Any) -> None:
    """The live deployment knows the true answer, the candidate does not: the quality test says so."""
    quality = {"kind": "labels", "path": "0"}

    evidence = await probed(endpoint, lambda _: endpoint.reply(200, [2]), quality=quality)

    assert evidence.verdict == "harmful"
    assert "answers with a known truth" in evidence.summary


async def test_other_frequencies_of_answers_are_harm(endpoint: Any) -> None:
    """Answers that need not agree pair by pair are compared by how often each comes."""
    evidence = await probed(
        endpoint,
        lambda number: endpoint.reply(200, [1 + number % 2]),
        output_drift={"path": "0", "labels": [1, 2]},
    )

    assert evidence.verdict == "harmful"
    assert "of the answers are 2 against 0.0%" in evidence.summary
