"""A watch: the judge looks at a source during a stage until it knows, or until the stage's time is up."""

import math
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, Self

from saferollout.config import JudgeConfig, WhenUndecided
from saferollout.evidence import Check, Evidence
from saferollout.judge import ErrorRateSlo, RateRatio, Verdict
from saferollout.source import Batch, Source

MAX_EXTENSIONS = 10


class ErrorRates:
    """The judge of a stage, first version: error rates.

    Harmful when the candidate's rate is proven above the live one's; healthy when it is proven below a multiple of
    the live one's, or so low that it is negligible. Two proofs of health share its α.
    """

    def __init__(self, config: JudgeConfig) -> None:
        self._config = config
        self._ratio = RateRatio(config.alpha, config.margin, max(config.no_worse_than, config.margin * 2))
        self._negligible = ErrorRateSlo(config.alpha / 2, config.negligible_error_rate)
        self._example = ""

    def update(self, batch: Batch) -> None:
        """Take in one batch."""
        self._ratio.update(
            batch.candidate_requests, batch.candidate_errors, batch.live_requests, batch.live_errors
        )  # fmt: skip
        self._negligible.update(batch.candidate_requests, batch.candidate_errors)
        self._example = batch.example or self._example

    @property
    def verdict(self) -> Verdict:
        """What the data so far prove."""
        if self._ratio.verdict is Verdict.HARMFUL:
            return Verdict.HARMFUL
        no_worse = self._ratio.log_e_value_healthy >= math.log(2 / self._config.alpha)
        negligible = self._negligible.verdict is Verdict.HEALTHY
        return Verdict.HEALTHY if no_worse or negligible else Verdict.UNDECIDED

    def evidence(self, gate: str, duration_s: float) -> Evidence:
        """The numbers, and the verdict in words."""
        ratio, config = self._ratio, self._config
        verdict = self.verdict
        rates = [
            errors / requests if requests else 0.0
            for errors, requests in (
                (ratio.candidate_errors, ratio.candidate_requests),
                (ratio.live_errors, ratio.live_requests),
            )
        ]
        example = f", e.g. {self._example}" if self._example else ""
        summary = (
            f"after {ratio.candidate_requests:,.0f} candidate requests its error rate is {rates[0]:.2%} "
            f"against {rates[1]:.2%} live (α = {config.alpha:g}): {verdict}{example}"
        )
        return Evidence(
            gate=gate,
            verdict=verdict.value,
            summary=summary,
            checks=[
                Check(check="requests", passed=None, candidate=f"{ratio.candidate_requests:,.0f}",
                      live=f"{ratio.live_requests:,.0f}", limit=""),
                Check(check="errors", passed=None, candidate=f"{ratio.candidate_errors:,.0f} ({rates[0]:.2%})",
                      live=f"{ratio.live_errors:,.0f} ({rates[1]:.2%})", limit=""),
                Check(check="evidence of harm (e-value)", passed=ratio.verdict is not Verdict.HARMFUL,
                      candidate=f"{ratio.e_value:.3g}", live="", limit=f"< {1 / config.alpha:.0f}"),
                Check(check="evidence of health (e-value)", passed=None, live="", limit=f"≥ {2 / config.alpha:.0f}",
                      candidate=f"{max(ratio.e_value_healthy, self._negligible.e_value_healthy):.3g}"),
            ],
            duration_s=duration_s,
            state={"ratio": ratio.to_dict(), "negligible": self._negligible.to_dict(), "example": self._example},
        )  # fmt: skip

    @classmethod
    def resumed(cls, config: JudgeConfig, state: dict[str, Any]) -> Self:
        """Go on from the evidence of an earlier stage, or begin anew where the settings differ or there is none."""
        judge = cls(config)
        if state:
            ratio = RateRatio.from_dict(state["ratio"])
            negligible = ErrorRateSlo.from_dict(state["negligible"])
            same_ratio = (ratio.alpha, ratio.margin, ratio.delta) == (
                judge._ratio.alpha, judge._ratio.margin, judge._ratio.delta)  # fmt: skip
            if same_ratio and (negligible.alpha, negligible.slo) == (judge._negligible.alpha, judge._negligible.slo):
                judge._ratio, judge._negligible, judge._example = ratio, negligible, state["example"]
        return judge


async def watch(
    source: Source,
    config: JudgeConfig,
    gate: str,
    *,
    state: dict[str, Any],
    progress: Callable[[float, str], Awaitable[None]],
) -> Evidence:
    """Judge until harm is shown, or health after the minimum time, or the maximum time is over.

    ``state`` is an earlier stage's; ``progress`` hears how much of the time is over (0 to 1) and the finding so far.
    """
    judge = ErrorRates.resumed(config, state)
    begun = time.monotonic()
    limit_s = config.max_duration_s * (MAX_EXTENSIONS if config.when_undecided is WhenUndecided.EXTEND else 1)
    async with aclosing(source.batches()) as batches:
        async for batch in batches:
            judge.update(batch)
            elapsed_s = time.monotonic() - begun
            verdict = judge.verdict
            enough = verdict is Verdict.HEALTHY and elapsed_s >= config.min_duration_s
            if verdict is Verdict.HARMFUL or enough or elapsed_s >= limit_s:
                break
            await progress(min(1.0, elapsed_s / limit_s), judge.evidence(gate, elapsed_s).summary)
    return judge.evidence(gate, time.monotonic() - begun)
