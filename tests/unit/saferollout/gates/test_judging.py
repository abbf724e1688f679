"""A watch: when the judge ends it, on what, and how the next stage goes on."""

import asyncio
import re
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from saferollout.config.judge import JudgeConfig
from saferollout.domain.errors import AzureFailed
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.gates.judging import run_judge
from saferollout.gates.sources.source import Seen
from saferollout.judge import Batch
from tests.support.judging import LENIENT, THROTTLED, Broken, Progress, Script, probed, watched

pytestmark = pytest.mark.slow  # a watch takes its time


async def test_a_harmful_candidate_ends_the_watch_at_once(endpoint: Any) -> None:
    """Proven harm waits for no minimum: half of the requests fail, and seconds later the verdict is there."""
    evidence = await probed(
        endpoint,
        lambda number: endpoint.reply(500, "oh") if number % 2 else endpoint.reply(200, [1]),
        min_duration_s=20,
    )

    assert (evidence.gate, evidence.verdict) == ("judge at 10%", "harmful")
    assert evidence.duration_s < 20
    assert "500 oh" in evidence.summary
    assert False in [check.passed for check in evidence.checks]


async def test_other_answers_than_the_live_ones_are_harm(endpoint: Any) -> None:
    """Not one request fails, but every answer is another one: more than is tolerated, and the table says which test."""
    drift = {"kind": "labels", "path": "0", "tolerance": 0.1}

    evidence = await probed(endpoint, lambda _: endpoint.reply(200, [2]), min_duration_s=20, prediction_drift=drift)

    assert evidence.verdict == "harmful"
    assert "the answers differ by 100.0%" in evidence.summary
    assert [check.check for check in evidence.checks if check.passed is False] == [
        "prediction drift (e-value)",
        "evidence of harm (e-value)",
    ]


async def test_a_healthy_candidate_is_watched_for_the_minimum(endpoint: Any) -> None:
    """However good it looks, it is watched as long as configured, and then no longer."""
    evidence = await probed(endpoint, lambda _: endpoint.reply(200, [1]), min_duration_s=1.5, **LENIENT)

    assert evidence.verdict == "healthy"
    assert 1.5 <= evidence.duration_s < 20
    assert False not in [check.passed for check in evidence.checks]


async def test_a_repeated_request_is_counted_once(endpoint: Any) -> None:
    """The sentence comes first, the e-values last; replayed requests are counted with how many of them are distinct."""
    evidence = await probed(endpoint, lambda _: endpoint.reply(200, [1]), **LENIENT)

    assert re.match(
        r"no sign of harm in \d+ requests \(recorded ones: 10 distinct\); errors below [\d.]+% with 95% confidence",
        evidence.summary,
    )
    lines = {check.check: check.candidate for check in evidence.checks}
    assert re.fullmatch(r"\d+ requests, 10 distinct", lines["source: probes"])
    assert [name for name in lines if "e-value" in name] == list(lines)[-2:]


async def test_thin_data_are_undecided_at_the_end(endpoint: Any) -> None:
    """A few good answers prove nothing, and the watch says so when its time is over."""
    evidence = await probed(endpoint, lambda _: endpoint.reply(200, [1]), requests_per_s=5, max_duration_s=1)

    assert evidence.verdict == "undecided"
    assert 1 <= evidence.duration_s < 10  # to which `extend` would go on


async def test_a_candidate_that_hangs_does_not_hold_the_watch(endpoint: Any) -> None:
    """Without a single answer the time is over when it is over."""
    evidence = await probed(endpoint, endpoint.hang, max_duration_s=1)

    assert evidence.verdict == "undecided"
    assert 1 <= evidence.duration_s < 10  # to which `extend` would go on


async def test_more_time_is_given_where_the_config_says_so() -> None:
    """`extend` watches on, up to ten times as long, before it calls the data too thin."""
    evidence = await watched(Script(requests=1), when_undecided="extend", max_duration_s=0.1)

    assert evidence.verdict == "undecided"
    assert 1.0 <= evidence.duration_s < 10


async def test_an_extension_ends_with_the_verdict() -> None:
    """What the first stretch could not show, a later one may."""
    evidence = await watched(Script(requests=1), when_undecided="extend", max_duration_s=0.25, **LENIENT)

    assert evidence.verdict == "healthy"
    assert 0.25 < evidence.duration_s < 2.5


@pytest.mark.parametrize("errors", [0, 10], ids=["healthy", "harmful"])
async def test_the_source_is_closed_with_the_verdict(errors: int) -> None:
    """Nothing goes on in the background when the judge has spoken."""
    source = Script(errors=errors)

    await watched(source, **LENIENT)

    assert source.closed


async def test_a_source_that_fails_is_read_again() -> None:
    """A failure that passes costs nothing but time, and nothing is said of it."""
    source = Broken(2, THROTTLED)

    evidence = await watched(source, **LENIENT)

    assert (evidence.verdict, source.opened) == ("healthy", 3)
    assert "throttled" not in evidence.summary


@pytest.mark.parametrize(("error", "opened"), [(THROTTLED, 3), (AzureFailed("forbidden", status=403), 1)])
async def test_a_source_that_cannot_tell_is_no_verdict(error: AzureFailed, opened: int) -> None:
    """Given up, it makes the verdict undecided, with the reason and long before the time is over, even after health."""
    healthy = await watched(Script(), **LENIENT)
    source = Broken(100, error)

    evidence = await watched(source, earlier=healthy, **LENIENT)

    assert (healthy.verdict, evidence.verdict, source.opened) == ("healthy", "undecided", opened)
    assert f"broken: {error}" in evidence.summary
    (line,) = [check for check in evidence.checks if check.check == "source: broken"]
    assert line.candidate == f"no data: {error}"
    assert evidence.duration_s < 30


async def test_the_other_sources_go_on() -> None:
    """One source without data does not silence the others, and is mentioned."""
    evidence = await watched(Broken(100, THROTTLED), Script(), **LENIENT)

    assert evidence.verdict == "healthy"
    assert "broken: throttled" in evidence.summary
    candidates = {check.check: check.candidate for check in evidence.checks if check.check.startswith("source")}
    assert candidates["source: broken"] == "no data: throttled"
    assert candidates["source: script"].endswith("0 requests")


async def test_health_waits_for_every_source() -> None:
    """A source that takes its time is heard before a candidate is called healthy; harm waits for nobody."""

    class Late(Script):
        name = "late"
        interval_s = 1.0

    healthy = await watched(Script(), Late(interval_s=1.5), **LENIENT)
    harmful = await watched(Script(errors=10), Late(interval_s=30), **LENIENT)

    assert (healthy.verdict, harmful.verdict) == ("healthy", "harmful")
    assert healthy.duration_s >= 1.5
    assert harmful.duration_s < 30


async def test_a_bug_in_a_source_is_not_hidden() -> None:
    """What is not a failure of Azure ends the watch as what it is."""

    class Buggy(Script):
        async def batches(self) -> AsyncGenerator[Seen, None]:
            yield self.seen
            raise KeyError("deployment")

    with pytest.raises(KeyError, match="deployment"):
        await watched(Buggy())


async def test_health_of_an_earlier_stage_is_not_health_of_this_one() -> None:
    """A stage in which nothing at all was reported ends undecided, whatever was known before."""
    healthy = await watched(Script(), **LENIENT)

    evidence = await watched(Script(requests=0), earlier=healthy, max_duration_s=0.2, **LENIENT)

    assert evidence.verdict == "undecided"


async def test_undecided_says_what_it_would_take() -> None:
    """The person who is asked sees how long a verdict would take at this traffic."""
    evidence = await watched(Script(requests=1, interval_s=0.05), max_duration_s=1)

    assert evidence.verdict == "undecided"
    assert "more minute at this traffic would show it healthy" in evidence.summary


async def test_progress_hears_how_far_it_is_and_what_is_known() -> None:
    """The share of the time only grows, ends below 1, and comes with the numbers so far."""
    progress = Progress()

    await watched(Script(requests=1), progress=progress, max_duration_s=0.3)

    assert progress.parts == sorted(progress.parts)
    assert 0 < progress.parts[0] <= progress.parts[-1] <= 1
    assert progress.findings[-1].startswith("too little is known to decide; no sign of harm in ")


async def test_the_next_stage_goes_on_from_the_evidence() -> None:
    """Evidence survives JSON, as Prefect keeps it, and the next stage needs only what was missing."""
    first = await watched(Script(requests=4), max_duration_s=0.05, **LENIENT)
    kept = Evidence.model_validate_json(first.model_dump_json())
    anew, resumed = Script(requests=4), Script(requests=4)

    assert (first.verdict, kept.verdict, kept.checks) == ("undecided", "undecided", first.checks)
    assert (await watched(anew, **LENIENT)).verdict == "healthy"
    assert (await watched(resumed, earlier=kept, **LENIENT)).verdict == "healthy"
    assert resumed.given < anew.given


async def test_other_settings_begin_anew() -> None:
    """Evidence for one question is none for another: a judge with another α starts from nothing."""
    first = await watched(Script(), max_duration_s=0.05)
    state_before = dict(first.state)

    same = await watched(Script(requests=0), earlier=first, max_duration_s=0.05)
    other = await watched(Script(requests=0), earlier=first, max_duration_s=0.05, alpha=0.01)

    assert [evidence.checks[0].candidate for evidence in (same, other)] == [first.checks[0].candidate, "0"]
    assert first.state == state_before


async def test_evidence_of_another_version_begins_anew() -> None:
    """A rollout that was suspended over an upgrade is judged from the beginning, and does not crash."""
    unknown = Evidence(gate="judge at 10%", verdict=GateVerdict.UNDECIDED, summary="", state={"settings": {"beta": 1}})

    assert (await watched(Script(), earlier=unknown, **LENIENT)).verdict == "healthy"


class Sleepy:
    """A source that reports a healthy candidate for a while, and then nothing for longer than is excused."""

    name = "sleepy"
    interval_s = -4.9  # with the slack, a tenth of a second

    async def batches(self) -> AsyncGenerator[Seen, None]:
        """Twenty batches at once, then three that are half a second apart."""
        for number in range(23):
            await asyncio.sleep(0.5 if number >= 20 else 0.001)
            yield Seen(Batch(candidate_requests=100, live_requests=100))
        await asyncio.sleep(60)


@pytest.mark.slow
async def test_time_in_which_nothing_was_seen_is_no_watching() -> None:
    """The minimum time passes while something is reported; waiting without data proves nothing."""
    config = JudgeConfig.model_validate(LENIENT | {"min_duration_s": 1, "max_duration_s": 2.5})

    found = await run_judge([Sleepy()], config, "judge at 10%", report=Progress())

    assert found.duration_s >= 2.5  # 1.5 s went by before the last batch, but only 0.3 s of it were watched
