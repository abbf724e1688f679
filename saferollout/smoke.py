"""The smoke test: recorded requests straight to the candidate, and to the live deployment to compare with."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeGuard

import jsonschema
import numpy as np

from saferollout.config import SmokeTestConfig
from saferollout.evidence import Check, Evidence
from saferollout.judge import cut_points_ms
from saferollout.recorded import RecordedRequest
from saferollout.scoring import Answer, Scorer


class _Pair(NamedTuple):
    """A recorded request with both deployments' answers."""

    request: RecordedRequest
    candidate: Answer
    live: Answer


async def run(
    scorer: Scorer,
    requests: Sequence[RecordedRequest],
    config: SmokeTestConfig,
    *,
    candidate: str,
    live: str,
    answer_schema: dict[str, Any] | None = None,
) -> Evidence:
    """Send every request to both deployments, pinned, and check the candidate's answers."""
    begun = time.monotonic()
    pairs: list[_Pair] = []
    for request in requests:
        answers = await asyncio.gather(
            scorer.score(request.request, deployment=candidate), scorer.score(request.request, deployment=live)
        )
        pairs.append(_Pair(request, *answers))
    checks = [
        _answered(pairs, config),
        _shape(pairs, answer_schema),
        _latency(pairs, config),
        *_expected(pairs, config),
        *_side_by_side(pairs, config),
    ]
    failed = [check for check in checks if check.passed is False]
    summary = (
        "; ".join(f"{check.check}: {check.candidate} (limit {check.limit})" for check in failed)
        or f"{len(pairs)} recorded requests answered as they should be"
    )
    live_ms = [pair.live.latency_ms for pair in pairs if pair.live.ok]
    return Evidence(gate="smoke test", verdict="failed" if failed else "passed", summary=summary, checks=checks,
                    duration_s=time.monotonic() - begun, cut_points_ms=cut_points_ms(live_ms) if live_ms else [],
                    )  # fmt: skip


def _answered(pairs: Sequence[_Pair], config: SmokeTestConfig) -> Check:
    failed = [answer for _, answer, _ in pairs if not answer.ok]
    example = f", e.g. {failed[0].error}" if failed else ""
    return Check(
        check="failed requests",
        passed=len(failed) <= config.max_failed,
        candidate=f"{len(failed)} of {len(pairs)}{example}",
        live=f"{sum(not answer.ok for *_, answer in pairs)} of {len(pairs)}",
        limit=f"≤ {config.max_failed}",
    )


def _shape(pairs: Sequence[_Pair], schema: dict[str, Any] | None) -> Check:
    if schema is not None:
        validator = jsonschema.validators.validator_for(schema)(schema)
        answers = [answer.body for _, answer, _ in pairs if answer.ok]
        wrong = [error.message for answer in answers for error in validator.iter_errors(answer)]
        found = f"{len(wrong)} violations, e.g. {wrong[0][:120]}" if wrong else "valid" if answers else "no answer"
        return Check(check="answer schema", passed=bool(answers) and not wrong, candidate=found, live="",
                     limit="answer_schema")  # fmt: skip
    both = [(shape(answer.body), shape(live.body)) for _, answer, live in pairs if answer.ok and live.ok]
    other = [(candidate, live) for candidate, live in both if candidate != live]
    candidate, live = other[0] if other else both[0] if both else ("no answer", "no answer")
    if not both and any(answer.ok for _, answer, _ in pairs):  # the live deployment is broken, not the candidate
        return Check(check="answer shape", passed=None, candidate="not comparable", live="no answer", limit="")
    return Check(check="answer shape", passed=bool(both) and not other, candidate=candidate, live=live,
                 limit="as the live one's")  # fmt: skip


def _latency(pairs: Sequence[_Pair], config: SmokeTestConfig) -> Check:
    candidate_ms = float(np.percentile([pair.candidate.latency_ms for pair in pairs], 95))
    live_ms = float(np.percentile([pair.live.latency_ms for pair in pairs], 95))
    return Check(check="latency p95", passed=candidate_ms <= config.max_latency_ms, candidate=f"{candidate_ms:.0f} ms",
                 live=f"{live_ms:.0f} ms", limit=f"≤ {config.max_latency_ms:.0f} ms")  # fmt: skip


def _expected(pairs: Sequence[_Pair], config: SmokeTestConfig) -> list[Check]:
    known = [pair for pair in pairs if pair.request.answer is not None]
    if not known:
        return []

    def wrong(answer_of: Callable[[_Pair], Answer]) -> int:
        answers = [(answer_of(pair), pair.request.answer) for pair in known]
        return sum(answer.ok and distance(answer.body, truth) > config.tolerance for answer, truth in answers)

    candidate, live = wrong(lambda pair: pair.candidate), wrong(lambda pair: pair.live)
    return [Check(check="wrong answers", passed=candidate <= config.max_wrong, candidate=f"{candidate} of {len(known)}",
                  live=f"{live} of {len(known)}",
                  limit=f"≤ {config.max_wrong}, within {config.tolerance:g} of the expected")]  # fmt: skip


def _side_by_side(pairs: Sequence[_Pair], config: SmokeTestConfig) -> list[Check]:
    both = [pair for pair in pairs if pair.candidate.ok and pair.live.ok]
    if not both:
        return []
    apart = np.array([distance(candidate.body, live.body) for _, candidate, live in both])
    numeric = apart[np.isfinite(apart)]
    checks = [
        Check(check="difference to live", passed=None, limit="", live="",
              candidate=f"{numeric.mean():.4g} on average" if len(numeric) else "not comparable")
    ]  # fmt: skip
    truths = [(distance(candidate.body, request.answer), distance(live.body, request.answer))
              for request, candidate, live in both if request.answer is not None]  # fmt: skip
    if truths and np.isfinite(truths).all():
        candidate_error, live_error = np.mean(truths, axis=0)
        # without any live error (the expected answers are its own) nothing can be a share of it
        limit = live_error * (1 + config.max_error_increase) or config.tolerance
        checks.append(
            Check(check="mean error", passed=bool(candidate_error <= limit), candidate=f"{candidate_error:.4g}",
                  live=f"{live_error:.4g}", limit=f"≤ {limit:.4g}")
        )  # fmt: skip
    return checks


def shape(value: object) -> str:
    """The shape of a JSON value: ``[1.5, 2]`` is ``2 × number``, ``{"label": "a"}`` is ``{label: text}``."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shape(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        inner = sorted({shape(item) for item in value})
        return f"{len(value)} × {' or '.join(inner) or 'nothing'}"
    if isinstance(value, bool):
        return "yes/no"
    return {int: "number", float: "number", str: "text"}.get(type(value), "null")


def distance(answer: object, other: object) -> float:
    """The largest difference between two answers' numbers; infinite where text, keys or lengths differ."""
    if isinstance(answer, dict) and isinstance(other, dict) and answer.keys() == other.keys():
        return max((distance(answer[key], other[key]) for key in answer), default=0.0)
    if isinstance(answer, list) and isinstance(other, list) and len(answer) == len(other):
        return max(map(distance, answer, other), default=0.0)
    if _is_number(answer) and _is_number(other):
        return _apart(answer, other)
    return 0.0 if type(answer) is type(other) and answer == other else math.inf


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _apart(number: float, other: float) -> float:
    if number == other or (number != number and other != other):  # two NaN
        return 0.0
    try:
        apart = abs(float(number) - float(other))
    except OverflowError:  # JSON's integers have no end
        return math.inf
    return math.inf if math.isnan(apart) else apart
