"""A watch: the judge looks at a source during a stage until it knows, or until the stage's time is up."""

import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

from saferollout.config import JudgeConfig, WhenUndecided
from saferollout.evidence import Check, Evidence
from saferollout.judge import Judge, RateRatio, Settings, Verdict
from saferollout.source import Source

MAX_EXTENSIONS = 10


def settings_of(config: JudgeConfig) -> Settings:
    """The judge's settings in a stage's config."""
    return Settings(
        alpha=config.alpha,
        margin=config.margin,
        delta=config.no_worse_than,
        negligible_error_rate=config.negligible_error_rate,
        error_rate_slo=config.error_rate_slo,
        drift_tolerance=config.prediction_drift.tolerance if config.prediction_drift else None,
    )


async def watch(
    source: Source,
    config: JudgeConfig,
    gate: str,
    *,
    state: dict[str, Any],
    progress: Callable[[float, str], Awaitable[None]],
) -> Evidence:
    """Judge until harm is shown, or health after the minimum time, or the maximum time is over.

    ``state`` is an earlier stage's evidence to go on from; ``progress`` hears how much of the time is over (0 to 1)
    and the finding so far.
    """
    judge = _resumed(settings_of(config), state)
    example = ""
    begun = time.monotonic()
    limit_s = config.max_duration_s * (MAX_EXTENSIONS if config.when_undecided is WhenUndecided.EXTEND else 1)
    async with aclosing(source.batches()) as batches:
        async for seen in batches:
            verdict = judge.update(seen.batch)
            example = seen.example or example
            elapsed_s = time.monotonic() - begun
            enough = verdict is Verdict.HEALTHY and elapsed_s >= config.min_duration_s
            if verdict is Verdict.HARMFUL or enough or elapsed_s >= limit_s:
                break
            await progress(min(1.0, elapsed_s / limit_s), judge.words)
    return _evidence(judge, gate, example, time.monotonic() - begun)


def _resumed(settings: Settings, state: dict[str, Any]) -> Judge:
    """Go on from an earlier stage, or begin anew where the settings differ or there was none."""
    if state:
        judge = Judge.from_dict(state)
        if judge.settings == settings:
            return judge
    return Judge(settings)


def _evidence(judge: Judge, gate: str, example: str, duration_s: float) -> Evidence:
    alpha = judge.settings.alpha
    harm = Check(
        check="evidence of harm (e-value)", passed=judge.verdict is not Verdict.HARMFUL,
        candidate=f"{judge.e_value:.3g}", live="", limit=f"< {1 / alpha:.0f}",
    )  # fmt: skip
    health = Check(
        check="evidence of health (e-value)", passed=True if judge.verdict is Verdict.HEALTHY else None,
        candidate=f"{judge.e_value_healthy:.3g}", live="", limit=f"≥ {1 / alpha:.0f}",
    )  # fmt: skip
    return Evidence(
        gate=gate,
        verdict=judge.verdict.value,
        summary=judge.words + (f"; e.g. {example}" if example else ""),
        checks=[*_counts(judge), *_findings(judge), harm, health],
        duration_s=duration_s,
        state=judge.to_dict(),
    )


def _counts(judge: Judge) -> list[Check]:
    ratio = judge.tests["error_rate"]
    if not isinstance(ratio, RateRatio):
        return []
    requests, live_requests = ratio.candidate_requests, ratio.live_requests
    return [
        Check(check="requests", passed=None, candidate=f"{requests:,.0f}", live=f"{live_requests:,.0f}", limit=""),
        Check(check="errors", passed=None, candidate=_share(ratio.candidate_errors, requests),
              live=_share(ratio.live_errors, live_requests), limit=""),
    ]  # fmt: skip


def _findings(judge: Judge) -> list[Check]:
    """A line for each test where there are several; each one's limit is its own alarm."""
    if len(judge.tests) == 1:
        return []
    return [
        Check(check=f"{finding.test.replace('_', ' ')} (e-value)", passed=finding.e_value < finding.alarm,
              candidate=f"{finding.e_value:.3g}: {finding.words}", live="", limit=f"< {finding.alarm:.0f}")
        for finding in judge.findings
    ]  # fmt: skip


def _share(errors: float, requests: float) -> str:
    return f"{errors:,.0f} ({errors / requests if requests else 0:.2%})"
