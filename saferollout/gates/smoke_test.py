"""The smoke test: recorded requests straight to the candidate, and to the live deployment to compare with."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from saferollout.config.recorded_requests import RecordedRequest
from saferollout.config.rollout import SmokeTestConfig
from saferollout.domain.errors import AzureFailed
from saferollout.domain.evidence import Check, Evidence, GateVerdict
from saferollout.domain.json_text import comparable
from saferollout.domain.words import plural
from saferollout.gates.answer_change import AnswerChange, change_of
from saferollout.gates.answer_shape import AnswerCheck
from saferollout.gates.scoring import Response, Scorer, check_key
from saferollout.judge import cut_points_ms
from saferollout.judge.disagreement import is_number, same

EXPECTED = (
    "if they are meant to, write smoke_test.expect_change: true; keys that differ at each call or version go into "
    "smoke_test.ignore"
)
_ENDPOINTS = (429, 500, 503, 504)
"""What an endpoint answers for itself; a container's error is a 424, in a Kubernetes cluster mostly a 502."""


class _Pair(NamedTuple):
    """A recorded request with both deployments' answers."""

    request: RecordedRequest
    candidate: Response
    live: Response


async def run(
    scorer: Scorer,
    requests: Sequence[RecordedRequest],
    config: SmokeTestConfig,
    *,
    candidate: str,
    live: str,
    answer_schema: dict[str, Any] | None = None,
) -> Evidence:
    """Send every request to both deployments, pinned, and check the candidate's answers.

    A first deployment, which has none to compare with, is both `candidate` and `live`.

    Raises:
        AzureFailed: The endpoint does not take its key; or too many requests failed, some of them not by the candidate.
    """
    begun = time.monotonic()
    is_first = candidate == live
    pairs: list[_Pair] = []
    for request in requests:
        answers = await asyncio.gather(
            scorer.score(request, deployment=candidate), scorer.score(request, deployment=live)
        )
        check_key(answers)
        pairs.append(_Pair(request, *answers))
        _check_endpoint(pairs, config, is_first=is_first)
    change = None if is_first else change_of(_both(pairs, config))
    doubts = [] if is_first or config.expect_change else change_of(_both(_unknown(pairs), config)).doubts
    checks = [
        _answered(pairs, config),
        _shape(pairs, answer_schema),
        _latency(pairs, config),
        *_expected(pairs, config, is_first=is_first),
        *_side_by_side(pairs, config),
        *([_changed(change, doubts)] if change else []),
    ]
    failed = [f"{check.check}: {check.candidate} (limit {check.limit})" for check in checks if check.passed is False]
    words = [
        *doubts,
        *_passed(pairs, checks, has_schema=answer_schema is not None, is_first=is_first),
        *([str(change)] if change else []),
        *_warnings(pairs),
    ]
    verdict = GateVerdict.FAILED if failed else GateVerdict.UNDECIDED if doubts else GateVerdict.PASSED
    live_ms = [pair.live.latency_ms for pair in pairs if pair.live.ok]
    return Evidence(
        gate="smoke test",
        verdict=verdict,
        summary="; ".join(failed or [*words, *([EXPECTED] if doubts else [])]),
        checks=checks,
        duration_s=time.monotonic() - begun,
        cut_points_ms=cut_points_ms(live_ms) if live_ms else [],
    )


def _check_endpoint(pairs: Sequence[_Pair], config: SmokeTestConfig, *, is_first: bool) -> None:
    """Check, where too many requests failed, that the candidate did it, and not their way or the endpoint.

    Raises:
        AzureFailed: A request got no answer, or the endpoint fails for the live deployment, too: it may pass.
    """
    if sum(not pair.candidate.ok for pair in pairs) <= config.max_failed:
        return
    for _, *answers in pairs:
        error = answers[0].error
        if not answers[0].status:  # a container that is dead or late is answered for by the endpoint
            msg = f"the endpoint gave no answer: {error}"
            raise AzureFailed(msg, retryable=True)
        if not is_first and all(answer.status in _ENDPOINTS for answer in answers):
            msg = f"the endpoint fails for the live deployment, too: {error}"
            raise AzureFailed(msg, retryable=True)


def _distinct(pairs: Sequence[_Pair]) -> list[_Pair]:
    """The pairs whose request is not the same as an earlier one's."""
    return list({pair.request.key: pair for pair in reversed(pairs)}.values())[::-1]


def _unknown(pairs: Sequence[_Pair]) -> list[_Pair]:
    return [pair for pair in pairs if pair.request.answer is None]


def _both(pairs: Sequence[_Pair], config: SmokeTestConfig) -> list[tuple[Any, Any]]:
    """Both answers to each distinct request that both deployments answered."""
    return [
        (comparable(candidate.body, config.ignore), comparable(live.body, config.ignore))
        for request, candidate, live in _distinct(pairs)
        if candidate.ok and live.ok and request.is_compared
    ]


def _passed(pairs: Sequence[_Pair], checks: Sequence[Check], *, has_schema: bool, is_first: bool) -> list[str]:
    """What a candidate that did not fail has shown, and no more than that."""
    total, distinct, unknown = len(pairs), len(_distinct(pairs)), len(_unknown(pairs))
    ok = sum(pair.candidate.ok for pair in pairs)
    requests = (f"{ok} of " if ok < total else "") + plural(total, "recorded request")
    requests += f" ({distinct} distinct)" if distinct < total else ""
    uncompared = sum(not pair.request.is_compared for pair in pairs)
    both_ok = any(pair.candidate.ok and pair.live.ok for pair in pairs if pair.request.is_compared)
    is_compared = not is_first and both_ok
    checked = " as answer_schema says" if has_schema else " in live's shape" if is_compared else ""
    truths = [check for check in checks if check.check in ("wrong answers", "mean error")]
    if not unknown and truths and truths[0].candidate.startswith("0 "):
        return [f"{requests} answered as they should be"]
    lives = "" if is_first else " (live: {})"
    said = [f"{check.check}: {check.candidate}{lives.format(check.live)}" for check in truths]
    if unknown:
        known = "none" if unknown == total else f"only {total - unknown}"
        verb = "have" if total - unknown > 1 else "has"
        said.append(f"whether the answers are right is not known, as {known} {verb} a true answer")
    if uncompared:
        said.append(f"answers to {plural(uncompared, 'request')} are not compared (compare: none)")
    return [f"{requests} answered{checked}", *said]


def _warnings(pairs: Sequence[_Pair]) -> list[str]:
    """Repeating one request says nothing of others."""
    return ["one distinct request says little about others: record more"] if len(_distinct(pairs)) == 1 else []


def _changed(change: AnswerChange, doubts: Sequence[str]) -> Check:
    return Check(
        check="changed answers",
        passed=None,
        candidate=str(change).partition(" from live's")[0] if change.changed else f"0 of {change.answers}",
        live="",
        limit="",
        note="; ".join(doubts),
    )


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
    check = AnswerCheck(schema)
    pairs = [pair for pair in pairs if check.applies(pair.request.compare)]
    if not pairs:  # all requests say that nothing is compared
        return Check(check="answer shape", passed=None, candidate="not compared", live="", limit="")
    for request, _, live in pairs:
        check.learn(request.request, [live.body] if live.ok else [])
    if schema is not None:
        answers = [answer.body for _, answer, _ in pairs if answer.ok]
        wrong = [problem for answer in answers if (problem := check.problem(None, answer, []))]
        found = "valid" if answers else "no answer"
        if wrong:
            found = f"{plural(len(wrong), 'violation')}, e.g. {wrong[0][:120]}"
        return Check(
            check="answer schema", passed=bool(answers) and not wrong, candidate=found, live="", limit="answer_schema"
        )
    both = [pair for pair in pairs if pair.candidate.ok and pair.live.ok]
    if not both and any(answer.ok for _, answer, _ in pairs):  # the live deployment is broken, not the candidate
        return Check(check="answer shape", passed=None, candidate="not comparable", live="no answer", limit="")
    problems = [check.problem(request.request, answer.body, [live.body]) for request, answer, live in both]
    broken = [pair for pair, problem in zip(both, problems, strict=True) if problem]
    shapes = [(shape(pair.candidate.body), shape(pair.live.body)) for pair in (broken or both)[:1]]
    found, usual = shapes[0] if shapes else ("no answer", "no answer")
    return Check(
        check="answer shape",
        passed=bool(both) and not any(problems),
        candidate=found,
        live=usual,
        limit="as the live one's",
        note=next(filter(None, problems), ""),
    )


def _latency(pairs: Sequence[_Pair], config: SmokeTestConfig) -> Check:
    candidate_ms = float(np.percentile([pair.candidate.latency_ms for pair in pairs], 95))
    live_ms = float(np.percentile([pair.live.latency_ms for pair in pairs], 95))
    return Check(
        check="latency p95",
        passed=candidate_ms <= config.max_latency_ms,
        candidate=f"{candidate_ms:.0f} ms",
        live=f"{live_ms:.0f} ms",
        limit=f"≤ {config.max_latency_ms:.0f} ms",
    )


def _expected(pairs: Sequence[_Pair], config: SmokeTestConfig, *, is_first: bool) -> list[Check]:
    known = [pair for pair in pairs if pair.request.answer is not None]
    if not known:
        return []

    def misses(answer_of: Callable[[_Pair], Response]) -> list[float]:
        """How far those answers are from the expected ones that miss them."""
        answers = [(answer_of(pair), pair.request.answer) for pair in known]
        apart = [_apart(answer, truth, config) for answer, truth in answers if answer.ok]
        return [miss for miss in apart if miss > config.tolerance]

    candidate, live = misses(lambda pair: pair.candidate), misses(lambda pair: pair.live)
    within = f"within {config.tolerance:g} of the expected"
    line = Check(
        check="wrong answers",
        passed=None,
        candidate=f"{len(candidate)} of {len(known)}",
        live=f"{len(live)} of {len(known)}",
        limit="",
    )
    if config.max_wrong is not None:
        changes = {"passed": len(candidate) <= config.max_wrong, "limit": f"≤ {config.max_wrong}, {within}"}
    elif shapes := _other_shapes(known, config):
        changes = {"passed": False, "candidate": shapes[0], "live": "", "limit": f"as the expected ones: {shapes[1]}"}
    elif is_first:  # there is no live deployment to compare with
        changes = {"passed": candidate.count(math.inf) < len(known), "limit": f"not all of them, {within}"}
    else:
        # where live fails, no answer can be worse; no number at all is worse than one that is far off
        unanswered = sum(not pair.live.ok for pair in known)
        limit, limit_inf = len(live) + unanswered, live.count(math.inf) + unanswered
        passed = len(candidate) <= limit and candidate.count(math.inf) <= limit_inf
        changes = {"passed": passed, "limit": f"≤ {limit}, as live, {within}"}
        if len(candidate) <= limit and not passed:
            changes |= {
                "candidate": f"{candidate.count(math.inf)} of {len(known)} not comparable",
                "limit": f"≤ {limit_inf}, as live",
            }
    return [line.model_copy(update=changes)]


def _other_shapes(known: Sequence[_Pair], config: SmokeTestConfig) -> tuple[str, str] | None:
    """The shapes of an answer and of its expected one, if no answer of either deployment is comparable with its own."""
    answered = [(answer.body, request.answer) for request, *answers in known for answer in answers if answer.ok]
    shapes = [tuple(shape(comparable(value, config.ignore)) for value in pair) for pair in answered]
    if not shapes or any(found == expected for found, expected in shapes):
        return None
    return shapes[0][0], shapes[0][1]


def _side_by_side(pairs: Sequence[_Pair], config: SmokeTestConfig) -> list[Check]:
    both = [pair for pair in pairs if pair.candidate.ok and pair.live.ok and pair.request.is_compared]
    if not both:
        return []
    apart = np.array([_apart(candidate, live.body, config) for _, candidate, live in both])
    numeric = apart[np.isfinite(apart)]
    checks = [
        Check(
            check="difference to live",
            passed=None,
            limit="",
            live="",
            candidate=f"{numeric.mean():.4g} on average" if len(numeric) else "not comparable",
        )
    ]
    truths = [
        (_apart(candidate, request.answer, config), _apart(live, request.answer, config))
        for request, candidate, live in both
        if request.answer is not None
    ]
    if truths and np.isfinite(truths).all():
        candidate_error, live_error = np.mean(truths, axis=0)
        # without any live error (the expected answers are its own) nothing can be a share of it
        limit = live_error * (1 + config.max_error_increase) or config.tolerance
        checks.append(
            Check(
                check="mean error",
                passed=bool(candidate_error <= limit),
                candidate=f"{candidate_error:.4g}",
                live=f"{live_error:.4g}",
                limit=f"≤ {limit:.4g}",
            )
        )
    return checks


def _apart(answer: Response, other: Any, config: SmokeTestConfig) -> float:
    return distance(comparable(answer.body, config.ignore), comparable(other, config.ignore))


def shape(value: object) -> str:
    """The shape of a JSON value: `[1.5, 2]` is `2 × number`, `{"label": "a"}` is `{label: text}`."""
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
    if same(answer, other):
        return 0.0
    return _difference(answer, other) if is_number(answer) and is_number(other) else math.inf


def _difference(number: float, other: float) -> float:
    try:
        apart = abs(float(number) - float(other))
    except OverflowError:  # JSON's integers have no end
        return math.inf
    return math.inf if math.isnan(apart) else apart
