"""A watch: the judge looks at its sources during a stage until it knows, or until the stage's time is up."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from saferollout.config.judge import JudgeConfig
from saferollout.domain.evidence import Check, Evidence, GateVerdict
from saferollout.domain.words import plural
from saferollout.gates.answer_comparison import Answers
from saferollout.gates.sources.reader import RETRY_DELAYS_S, Reader
from saferollout.gates.sources.source import Source
from saferollout.gates.splits import with_splits
from saferollout.judge import Judge, Settings, Verdict
from saferollout.report.sentence import sentence_of

TICK_S = 1.0


def settings_of(config: JudgeConfig, cut_points_ms: Sequence[float] = ()) -> Settings:
    """The judge's settings in a stage's config, with what was measured of the live deployment before."""
    return Settings(
        alpha=config.alpha,
        margin=config.margin,
        no_worse_than=config.no_worse_than,
        negligible_error_rate=config.negligible_error_rate,
        comparisons=config.comparisons(),
        required=config.required,
        cut_points_ms=tuple(cut_points_ms),
    )


async def run_judge(
    sources: Sequence[Source],
    config: JudgeConfig,
    gate: str,
    *,
    earlier: Evidence | None = None,
    shares: Mapping[str, int] | None = None,
    report: Callable[[float, str], None],
    retry_delays_s: Sequence[float] = RETRY_DELAYS_S,
) -> Evidence:
    """Judge until harm is shown, or health after the minimum time, or the maximum time or every source is over.

    Health is not a verdict before each working source has reported something and each configured comparison of
    answers has compared some.

    Only time in which something was reported counts for the minimum, not time in which this process stood still; and
    health is a verdict only on fresh data.

    It goes on from an `earlier` gate's evidence; `shares` is the traffic by deployment that users' requests should
    show, where several share it; `report` gets how much of the time is over (0 to 1) and the finding so far, and must
    not block.
    """
    cut_points_ms = earlier.cut_points_ms if earlier else []
    judge = _resumed(settings_of(config, cut_points_ms), earlier.state if earlier else {})
    example, lacking = "", Answers(config).lacking
    begun = last_at = time.monotonic()
    watched_s = 0.0
    limit_s = config.limit_s
    async with Reader(sources, retry_delays_s) as reader:
        while not reader.over:
            seen = await reader.next(TICK_S)
            now = time.monotonic()
            if seen:
                # sources overlap in time: what counts is how long it took until this one was heard
                judge.update(replace(seen.batch, duration_s=now - last_at))
                watched_s += min(now - last_at, reader.patience_s)
                last_at, example = now, seen.example or example
                lacking = lacking if seen.lacking is None else seen.lacking
            is_healthy = judge.verdict is Verdict.HEALTHY and reader.complete and not lacking
            enough = is_healthy and reader.fresh and watched_s >= config.min_duration_s
            if judge.verdict is Verdict.HARMFUL or enough or now - begun >= limit_s:
                break
            words = sentence_of(judge, judge.verdict, _distinct(reader))
            report(min(1.0, (now - begun) / limit_s), "; ".join([words, *lacking]))
        found = _evidence(
            judge, gate, example, reader, lacking, cut_points_ms=cut_points_ms, duration_s=time.monotonic() - begun
        )
    return with_splits(found, reader.users, shares or {})


def _resumed(settings: Settings, state: dict[str, Any]) -> Judge:
    """Go on from an earlier stage, or begin anew where the settings differ or there was none."""
    if state:
        try:
            judge = Judge.from_dict(state)
        except (KeyError, TypeError, ValueError):  # kept by another version of this program
            return Judge(settings)
        if judge.settings == settings:
            return judge
    return Judge(settings)


def _evidence(
    judge: Judge,
    gate: str,
    example: str,
    reader: Reader,
    lacking: Sequence[str],
    *,
    cut_points_ms: list[float],
    duration_s: float,
) -> Evidence:
    """What was found; where nothing more was reported, what was known before is not a verdict on this stage.

    Nor is health one where a configured comparison of answers has compared nothing.
    """
    alpha, verdict, troubles, missing = judge.settings.alpha, judge.verdict, reader.troubles, ""
    silent = reader.over or not any(reader.heard.values())
    if silent and verdict is not Verdict.HARMFUL:
        verdict, missing = Verdict.UNDECIDED, "there is no data on the candidate now"
    elif lacking and verdict is Verdict.HEALTHY:
        verdict, missing = Verdict.UNDECIDED, "not all that was to be compared could be"
    harm = Check(
        check="evidence of harm (e-value)",
        passed=verdict is not Verdict.HARMFUL,
        candidate=f"{judge.e_value:.3g}",
        live="",
        limit=f"< {1 / alpha:.0f}",
        note=judge.words,
    )
    health = Check(
        check="evidence of health (e-value)",
        passed=True if verdict is Verdict.HEALTHY else None,
        candidate=f"{judge.e_value_healthy:.3g}",
        live="",
        limit=f"≥ {1 / alpha:.0f}",
    )

    def repeated(name: str) -> str:
        return f", {reader.distinct[name]} distinct" if name in reader.distinct else ""

    sources = [
        Check(
            check=f"source: {name.replace('_', ' ')}",
            passed=None,
            live="",
            limit="",
            candidate=f"no data: {troubles[name]}"
            if name in troubles
            else plural(requests, "request") + repeated(name),
        )
        for name, requests in reader.heard.items()
    ]
    parts = [
        missing or sentence_of(judge, verdict, _distinct(reader)),
        *lacking,
        *(f"{name}: {why}" for name, why in troubles.items()),
        *([f"e.g. {example}"] if example else []),
    ]
    return Evidence(
        gate=gate,
        verdict=GateVerdict(verdict.value),
        summary="; ".join(parts),
        checks=[*judge.rows(), *sources, *_findings(judge), harm, health],
        duration_s=duration_s,
        cut_points_ms=cut_points_ms,
        state=judge.to_dict(),
    )


def _distinct(reader: Reader) -> int | None:
    """How many different recorded requests are repeated; None where none are."""
    return sum(reader.distinct.values()) or None


def _findings(judge: Judge) -> list[Check]:
    """A line for each comparison where there are several; each one's limit is its own alarm."""
    if len(judge.comparisons) == 1:
        return []
    return [
        Check(
            check=f"{finding.comparison.replace('_', ' ')} (e-value)",
            passed=finding.e_value < finding.alarm,
            candidate=f"{finding.e_value:.3g}",
            live="",
            limit=f"< {finding.alarm:.0f}",
            note=finding.words,
        )
        for finding in judge.findings
    ]
