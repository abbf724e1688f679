"""A watch: the judge looks at its sources during a stage until it knows, or until the stage's time is up."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from saferollout.answers import Answers
from saferollout.evidence import Check, Evidence
from saferollout.judge import ErrorRate, Judge, Latency, Settings, Verdict
from saferollout.judge_config import JudgeConfig, WhenUndecided
from saferollout.sources.following import RETRY_DELAYS_S, Following
from saferollout.sources.source import Source

MAX_EXTENSIONS = 10
TICK_S = 1.0


def settings_of(config: JudgeConfig, cut_points_ms: Sequence[float] = ()) -> Settings:
    """The judge's settings in a stage's config, with what was measured of the live deployment before."""
    latency, outputs = config.latency, config.output_drift
    can_time = latency is not None and (cut_points_ms or latency.slo_ms is not None)
    return Settings(
        alpha=config.alpha,
        margin=config.margin,
        delta=config.no_worse_than,
        negligible_error_rate=config.negligible_error_rate,
        error_rate_slo=config.error_rate_slo,
        latency_cut_points_ms=tuple(cut_points_ms) if latency else (),
        latency_slack=latency.slack if latency else 0.0,
        latency_slack_ms=latency.slack_ms if latency else 0.0,
        latency_slo_ms=latency.slo_ms if latency else None,
        warm_up=latency.warm_up if latency else 0,
        drift_tolerance=config.prediction_drift.tolerance if config.prediction_drift else None,
        output_buckets=outputs.labels or outputs.borders if outputs else (),
        output_is_numeric=bool(outputs and outputs.borders),
        quality_margin=config.quality.margin if config.quality else None,
        required=tuple(test for test in config.required if can_time or not test.startswith("latency")),
    )


async def watch(
    sources: Sequence[Source],
    config: JudgeConfig,
    gate: str,
    *,
    earlier: Evidence | None = None,
    report: Callable[[float, str], None],
    retry_delays_s: Sequence[float] = RETRY_DELAYS_S,
) -> Evidence:
    """Judge until harm is shown, or health after the minimum time, or the maximum time or every source is over.

    Health is no verdict before each source that can tell has told something, and each configured comparison of answers
    has compared some.

    The minimum time is one of watching: while nothing was told, as when this process stood still, none of it passes;
    and health is a verdict only on data as fresh as the moment.

    It goes on from an ``earlier`` gate's evidence; ``report`` is told how much of the time is over (0 to 1)
    and the finding so far, and must not block.
    """
    cut_points_ms = earlier.cut_points_ms if earlier else []
    judge = _resumed(settings_of(config, cut_points_ms), earlier.state if earlier else {})
    example, lacking = "", Answers(config).lacking
    begun = last_at = time.monotonic()
    watched_s = 0.0
    limit_s = config.max_duration_s * (MAX_EXTENSIONS if config.when_undecided is WhenUndecided.EXTEND else 1)
    async with Following(sources, retry_delays_s) as following:
        while not following.over:
            seen = await following.next(TICK_S)
            now = time.monotonic()
            if seen:
                # sources overlap in time: what counts is how long it took until this one was heard
                judge.update(replace(seen.batch, duration_s=now - last_at))
                watched_s += min(now - last_at, following.patience_s)
                last_at, example = now, seen.example or example
                lacking = lacking if seen.lacking is None else seen.lacking
            is_healthy = judge.verdict is Verdict.HEALTHY and following.complete and not lacking
            enough = is_healthy and following.fresh and watched_s >= config.min_duration_s
            if judge.verdict is Verdict.HARMFUL or enough or now - begun >= limit_s:
                break
            report(min(1.0, (now - begun) / limit_s), "; ".join([judge.words, *lacking]))
        return _evidence(
            judge, gate, example, following, lacking, cut_points_ms=cut_points_ms, duration_s=time.monotonic() - begun
        )


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
    judge: Judge, gate: str, example: str, following: Following, lacking: Sequence[str], *,
    cut_points_ms: list[float], duration_s: float,
) -> Evidence:  # fmt: skip
    """What was found; where nothing was told any more, what was known before is no verdict on this stage.

    Nor is health one where a configured comparison of answers has compared nothing.
    """
    alpha, verdict, words, troubles = judge.settings.alpha, judge.verdict, judge.words, following.troubles
    silent = following.over or not any(following.heard.values())
    if silent and verdict is not Verdict.HARMFUL:
        verdict, words = Verdict.UNDECIDED, "nothing can be told of the candidate now: undecided"
    elif lacking and verdict is Verdict.HEALTHY:
        verdict, words = Verdict.UNDECIDED, "not all that was to be compared could be: undecided"
    harm = Check(
        check="evidence of harm (e-value)", passed=verdict is not Verdict.HARMFUL,
        candidate=f"{judge.e_value:.3g}", live="", limit=f"< {1 / alpha:.0f}",
    )  # fmt: skip
    health = Check(
        check="evidence of health (e-value)", passed=True if verdict is Verdict.HEALTHY else None,
        candidate=f"{judge.e_value_healthy:.3g}", live="", limit=f"≥ {1 / alpha:.0f}",
    )  # fmt: skip
    sources = [
        Check(check=f"source: {name.replace('_', ' ')}", passed=None, live="", limit="",
              candidate=f"cannot tell: {troubles[name]}" if name in troubles else f"{requests:,.0f} requests")
        for name, requests in following.heard.items()
    ]  # fmt: skip
    parts = [
        words,
        *lacking,
        *(f"{name}: {why}" for name, why in troubles.items()),
        *([f"e.g. {example}"] if example else []),
    ]
    return Evidence(
        gate=gate,
        verdict=verdict.value,
        summary="; ".join(parts),
        checks=[*_counts(judge), *_latencies(judge), *_findings(judge), harm, health, *sources],
        duration_s=duration_s,
        cut_points_ms=cut_points_ms,
        state=judge.to_dict(),
    )


def _counts(judge: Judge) -> list[Check]:
    ratio = judge.tests["error_rate"]
    if not isinstance(ratio, ErrorRate):
        return []
    requests, live_requests = ratio.candidate_requests, ratio.live_requests
    return [
        Check(check="requests", passed=None, candidate=f"{requests:,.0f}", live=f"{live_requests:,.0f}", limit=""),
        Check(check="errors", passed=None, candidate=_share(ratio.candidate_errors, requests),
              live=_share(ratio.live_errors, live_requests), limit=""),
    ]  # fmt: skip


def _latencies(judge: Judge) -> list[Check]:
    test = judge.tests.get("latency")
    if not isinstance(test, Latency) or not (test.candidate.requests and test.live.requests):
        return []
    candidate, live = (
        " / ".join(f"{arm.quantile(p):.0f}" for p in (0.5, 0.95)) + " ms" for arm in (test.candidate, test.live)
    )
    return [Check(check="latency p50 / p95", passed=None, candidate=candidate, live=live, limit="")]


def _findings(judge: Judge) -> list[Check]:
    """A line for each test where there are several; each one's limit is its own alarm."""
    if len(judge.tests) == 1:
        return []
    return [
        Check(check=f"{finding.test.replace('_', ' ')} (e-value)", passed=finding.e_value < finding.alarm,
              candidate=f"{finding.e_value:.3g}", live="", limit=f"< {finding.alarm:.0f}", note=finding.words)
        for finding in judge.findings
    ]  # fmt: skip


def _share(errors: float, requests: float) -> str:
    return f"{errors:,.0f} ({errors / requests if requests else 0:.2%})"
