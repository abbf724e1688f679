"""A watch: when the judge ends it, on what, and how the next stage goes on."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from saferollout.config import DriftConfig, JudgeConfig
from saferollout.errors import AzureFailed
from saferollout.evidence import Evidence
from saferollout.judge import Batch
from saferollout.probes import Probes
from saferollout.recorded import RecordedRequest
from saferollout.scoring import Scorer
from saferollout.source import Seen
from saferollout.watch import watch

REQUESTS = [RecordedRequest(request=number) for number in range(10)]
LENIENT = {"negligible_error_rate": 0.3, "requests_per_s": 50}
"""Health is shown by few requests."""


class Told:
    """What the progress heard."""

    def __init__(self) -> None:
        self.parts: list[float] = []
        self.findings: list[str] = []

    async def __call__(self, part: float, finding: str) -> None:
        self.parts.append(part)
        self.findings.append(finding)


class Script:
    """A source that gives the same batch again and again."""

    def __init__(self, requests: int = 10, errors: int = 0, interval_s: float = 0.02) -> None:
        batch = Batch(candidate_requests=requests, candidate_errors=errors, live_requests=requests)
        self.seen = Seen(batch, example="500 oh" if errors else "")
        self.interval_s = interval_s
        self.given = 0
        self.closed = False

    async def batches(self) -> AsyncGenerator[Seen, None]:
        try:
            while True:
                await asyncio.sleep(self.interval_s)
                self.given += 1
                yield self.seen
        finally:
            self.closed = True


async def watched(
    source: Any, state: dict[str, Any] | None = None, told: Told | None = None, **config: Any
) -> Evidence:
    judge = JudgeConfig(**{"min_duration_s": 0, "max_duration_s": 30} | config)
    return await watch(source, judge, "judge at 10%", state=state or {}, progress=told or Told())


async def probed(endpoint: Any, candidate: Any, **config: Any) -> Evidence:
    """Watch a candidate on a real endpoint beside a live deployment that always answers."""
    endpoint.deployments = {"green": candidate, "blue": lambda _: endpoint.reply(200, [1])}
    before = asyncio.all_tasks()
    async with Scorer(endpoint.uri, "secret") as scorer:
        rate = config.get("requests_per_s", 50)
        drift = DriftConfig.model_validate(config["prediction_drift"]) if "prediction_drift" in config else None
        evidence = await watched(
            Probes(scorer, REQUESTS, candidate="green", live="blue", requests_per_s=rate, drift=drift), **config
        )
    assert asyncio.all_tasks() - before == set()
    return evidence


async def test_a_harmful_candidate_ends_the_watch_at_once(endpoint: Any) -> None:
    """Proven harm waits for no minimum: half of the requests fail, and seconds later the verdict is there."""
    evidence = await probed(
        endpoint,
        lambda number: endpoint.reply(500, "oh") if number % 2 else endpoint.reply(200, [1]),
        min_duration_s=20,
    )

    assert (evidence.gate, evidence.verdict) == ("judge at 10%", "harmful")
    assert evidence.duration_s < 5
    assert "500 oh" in evidence.summary
    assert False in [check.passed for check in evidence.checks]


async def test_other_answers_than_the_live_ones_are_harm(endpoint: Any) -> None:
    """Not one request fails, but every answer is another one: more than is tolerated, and the table says which test."""
    drift = {"kind": "labels", "path": "0", "tolerance": 0.1}

    evidence = await probed(endpoint, lambda _: endpoint.reply(200, [2]), min_duration_s=20, prediction_drift=drift)

    assert evidence.verdict == "harmful"
    assert "the answers differ by 100.0%" in evidence.summary
    assert [check.check for check in evidence.checks if check.passed is False] == [
        "prediction drift (e-value)", "evidence of harm (e-value)"
    ]  # fmt: skip


async def test_a_healthy_candidate_is_watched_for_the_minimum(endpoint: Any) -> None:
    """However good it looks, it is watched as long as configured, and then no longer."""
    evidence = await probed(endpoint, lambda _: endpoint.reply(200, [1]), min_duration_s=1.5, **LENIENT)

    assert evidence.verdict == "healthy"
    assert 1.5 <= evidence.duration_s < 5
    assert False not in [check.passed for check in evidence.checks]


async def test_thin_data_are_undecided_at_the_end(endpoint: Any) -> None:
    """A few good answers prove nothing, and the watch says so when its time is over."""
    evidence = await probed(endpoint, lambda _: endpoint.reply(200, [1]), requests_per_s=5, max_duration_s=1)

    assert evidence.verdict == "undecided"
    assert 1 <= evidence.duration_s < 4


async def test_a_candidate_that_hangs_does_not_hold_the_watch(endpoint: Any) -> None:
    """Without a single answer the time is over when it is over."""
    evidence = await probed(endpoint, endpoint.hang, max_duration_s=1)

    assert evidence.verdict == "undecided"
    assert 1 <= evidence.duration_s < 4


async def test_more_time_is_given_where_the_config_says_so() -> None:
    """`extend` watches on, up to ten times as long, before it calls the data too thin."""
    evidence = await watched(Script(requests=1), when_undecided="extend", max_duration_s=0.1)

    assert evidence.verdict == "undecided"
    assert 1.0 <= evidence.duration_s < 3


async def test_an_extension_ends_with_the_verdict() -> None:
    """What the first stretch could not show, a later one may."""
    evidence = await watched(Script(requests=2), when_undecided="extend", max_duration_s=0.1, **LENIENT)

    assert evidence.verdict == "healthy"
    assert 0.1 < evidence.duration_s < 1


@pytest.mark.parametrize("errors", [0, 10], ids=["healthy", "harmful"])
async def test_the_source_is_closed_with_the_verdict(errors: int) -> None:
    """Nothing goes on in the background when the judge has spoken."""
    source = Script(errors=errors)

    await watched(source, **LENIENT)

    assert source.closed


async def test_a_source_that_fails_is_no_verdict() -> None:
    """Azure's failure is passed on as what it is, with whether a retry may help."""

    class Broken(Script):
        async def batches(self) -> AsyncGenerator[Seen, None]:
            yield self.seen
            raise AzureFailed("throttled", status=429, retryable=True)

    with pytest.raises(AzureFailed, match="throttled") as caught:
        await watched(Broken())

    assert caught.value.retryable


async def test_progress_hears_how_far_it_is_and_what_is_known() -> None:
    """The share of the time only grows, ends below 1, and comes with the numbers so far."""
    told = Told()

    await watched(Script(requests=1), told=told, max_duration_s=0.3)

    assert told.parts == sorted(told.parts)
    assert 0 < told.parts[0] <= told.parts[-1] <= 1
    assert "undecided" in told.findings[-1]


async def test_the_next_stage_goes_on_from_the_evidence() -> None:
    """Evidence survives JSON, as Prefect keeps it, and the next stage needs only what was missing."""
    first = await watched(Script(requests=4), max_duration_s=0.05, **LENIENT)
    kept = Evidence.model_validate_json(first.model_dump_json())
    anew, resumed = Script(requests=4), Script(requests=4)

    assert (first.verdict, kept.verdict, kept.checks) == ("undecided", "undecided", first.checks)
    assert (await watched(anew, **LENIENT)).verdict == "healthy"
    assert (await watched(resumed, kept.state, **LENIENT)).verdict == "healthy"
    assert resumed.given < anew.given


async def test_other_settings_begin_anew() -> None:
    """Evidence for one question is none for another: a judge with another α starts from nothing."""
    first = await watched(Script(), max_duration_s=0.05)
    state_before = dict(first.state)

    same = await watched(Script(requests=0), first.state, max_duration_s=0.05)
    other = await watched(Script(requests=0), first.state, max_duration_s=0.05, alpha=0.01)

    assert "after 0 candidate requests" not in same.summary
    assert "after 0 candidate requests" in other.summary
    assert first.state == state_before
