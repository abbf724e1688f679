"""The judge's finding in a sentence: readable without statistics, and no more than is true."""

import re

import numpy as np
import pytest

from saferollout.judge import Batch, Judge, Settings, Verdict
from saferollout.report.sentence import sentence_of

CUTS = (10.0, 18.0, 19.0, 20.0)
LATENCIES = Settings(comparisons={"latency": {"slack": 0.25, "slack_ms": 25}}, cut_points_ms=CUTS)


def judged(requests: int, errors: int = 0, live_errors: int = 0, settings: Settings | None = None) -> Judge:
    """A judge that has seen so many requests of each deployment."""
    judge = Judge(settings)
    judge.update(
        Batch(
            candidate_requests=requests,
            candidate_errors=errors,
            live_requests=requests,
            live_errors=live_errors,
            duration_s=60,
        )
    )
    return judge


def timed(slower: float, requests: int = 300) -> Judge:
    """A judge whose candidate is so many times slower than live, which takes 10 to 20 ms."""
    live_ms = np.random.default_rng(3).uniform(10, 20, requests)
    judge = Judge(LATENCIES)
    judge.update(
        Batch(
            candidate_requests=requests,
            live_requests=requests,
            candidate_latencies_ms=slower * live_ms[::-1],
            live_latencies_ms=live_ms,
        )
    )
    return judge


def test_a_healthy_candidate_in_a_sentence() -> None:
    """What was seen, how many errors there may be, and how sure that is; one request is not many."""
    judge = judged(598)

    assert judge.verdict is Verdict.HEALTHY
    start = "no sign of harm in 598 requests"
    limit = "errors below 0.83% with 95% confidence"
    assert sentence_of(judge, judge.verdict) == f"{start}; {limit}"
    assert sentence_of(judge, judge.verdict, 50) == f"{start} (recorded ones: 50 distinct); {limit}"
    assert sentence_of(judge, judge.verdict, 1) == (
        f"{start} (recorded ones: 1 distinct); {limit}; one distinct request says little about others: record more"
    )
    assert "with 99% confidence" in sentence_of(judged(598, settings=Settings(alpha=0.01)), Verdict.HEALTHY)


def test_errors_are_set_beside_lives() -> None:
    """An error rate means little without the one that users have now."""
    found = sentence_of(judged(4000, 20, 24), Verdict.HEALTHY)

    assert found.startswith(
        "no sign of harm in 4,000 requests; 0.5% of the requests failed, 0.6% of live's; errors below "
    )


def test_undecided_says_what_is_missing() -> None:
    """Too little is said first, then what is known, and what it would take."""
    judge = judged(30)

    found = sentence_of(judge, judge.verdict)

    assert found.startswith("too little is known to decide; no sign of harm in 30 requests; errors below 17% with 95%")
    assert found.endswith("at this traffic would show it healthy")
    assert sentence_of(judged(0), Verdict.UNDECIDED) == "too little is known to decide; no request was seen"


def test_signs_are_not_hidden() -> None:
    """Evidence that is more than a bare mention, and no proof, is not called none."""
    judge = judged(100, 9, 1)

    assert 10**0.5 < judge.e_value < 20
    assert "some signs of harm, which prove nothing yet, in 100 requests; 9% of the requests failed, 1% of live's" in (
        sentence_of(judge, judge.verdict)
    )


def test_harm_is_named_by_what_shows_it() -> None:
    """The comparison that is surest, without its level."""
    judge = judged(1000, 300, 10)

    assert re.fullmatch(
        r"harmful: after 1,000 candidate requests the error rate is at least [\d.]+× the live one",
        sentence_of(judge, judge.verdict),
    )


@pytest.mark.parametrize(
    ("slower", "words"),
    [
        (1.0, "as fast as before: half of the answers within "),
        (1.6, "slower than before: half of the answers within "),
        (0.4, "faster than before: half of the answers within "),
        (4.0, "slower than before: half of the answers within "),
    ],
)
def test_speed_is_described_as_measured(slower: float, words: str) -> None:
    """Slower is said also where the config allows it: a person decides."""
    found = sentence_of(timed(slower), Verdict.UNDECIDED)

    assert words in found
    assert re.search(r" within \d+ ms \(before: 1[56] ms\), 95% within \d+ ms \(before: (19|20) ms\)(;|$)", found)
    assert "before" not in sentence_of(timed(slower, requests=15), Verdict.UNDECIDED)


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "clumped"), [(0.01, False), (0.05, False), (0.05, True)])
def test_the_limit_on_errors_is_right_as_often_as_it_says(rate: float, clumped: bool) -> None:
    """Read after every batch, in at most 5% of many watches is it ever below the true rate, runs of errors included."""
    random = np.random.default_rng(7)
    watches, wrong = 200, 0
    for _ in range(watches):
        judge, ever = Judge(), False
        for _ in range(20):
            errors = random.binomial(25, rate) * 2 if clumped else random.binomial(50, rate)
            judge.update(Batch(candidate_requests=50, candidate_errors=int(errors), live_requests=50))
            limit = re.search(r"errors below ([\d.]+)%", sentence_of(judge, Verdict.HEALTHY))
            ever |= limit is not None and float(limit[1]) / 100 < rate
        wrong += ever

    assert wrong / watches <= 0.05
