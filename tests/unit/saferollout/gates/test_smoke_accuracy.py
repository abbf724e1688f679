"""The smoke test where the true answers are known: the candidate may be as wrong as live is."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from saferollout.config.recorded_requests import RecordedRequest
from saferollout.config.rollout import SmokeTestConfig
from saferollout.gates import smoke_test as smoke
from saferollout.gates.scoring import Scorer
from tests.support.smoke_test import SmokeTest, check, failed, right


@pytest.mark.parametrize(
    ("candidate", "config", "wrong", "passed"),
    [
        (right, {}, 0, True),
        (lambda number: [number + 0.5], {}, 4, False),
        (lambda number: [number + 0.5], {"tolerance": 0.5}, 0, True),
        (lambda number: [number * 1.1], {"tolerance": 0.35}, 1, False),
        (lambda number: [number * 1.1], {"tolerance": 0.35, "max_wrong": 1}, 1, True),
        (lambda _: [float("nan")], {"tolerance": 1000}, 4, False),
        (lambda _: ["x"], {"tolerance": 1000}, 4, False),
        (lambda number: number, {"tolerance": 1000}, 4, False),
    ],
)
async def test_wrong_answers_are_counted(
    smoke_test: SmokeTest, candidate: Callable[[float], Any], config: dict[str, Any], wrong: int, passed: bool
) -> None:
    """An answer is wrong beyond the tolerance, and whatever the tolerance when it is not a number at all."""
    line = check(await smoke_test(candidate, **config), "wrong answers")

    assert (line.candidate, line.live, line.passed) == (f"{wrong} of 4", "0 of 4", passed)


LABELS = [RecordedRequest(request={"data": number}, answer="spam") for number in range(20)]


def wrong_below(limit: int, other: Any = "ham") -> Callable[[float], Any]:
    """A classifier that is wrong on so many of the twenty."""
    return lambda number: other if number < limit else "spam"


@pytest.mark.parametrize(
    ("candidate", "live", "config", "passed", "limit"),
    [
        (1, 8, {}, True, "≤ 8, as live, within 1e-06 of the expected"),
        (8, 8, {}, True, "≤ 8, as live, within 1e-06 of the expected"),
        (9, 8, {}, False, "≤ 8, as live, within 1e-06 of the expected"),
        (1, 8, {"max_wrong": 0}, False, "≤ 0, within 1e-06 of the expected"),
        (9, 8, {"max_wrong": 9}, True, "≤ 9, within 1e-06 of the expected"),
    ],
)
async def test_a_candidate_may_be_as_wrong_as_live(
    smoke_test: SmokeTest, candidate: int, live: int, config: dict[str, Any], passed: bool, limit: str
) -> None:
    """No classifier is always right: the live one is the measure, unless the config says how many."""
    evidence = await smoke_test(wrong_below(candidate), wrong_below(live), requests=LABELS, **config)

    line = check(evidence, "wrong answers")
    assert (line.passed, line.candidate, line.live, line.limit) == (
        passed,
        f"{candidate} of 20",
        f"{live} of 20",
        limit,
    )
    assert evidence.verdict == ("passed" if passed else "failed")


async def test_an_answer_where_live_has_none_is_not_held_against_the_candidate(
    smoke_test: SmokeTest, endpoint: Any
) -> None:
    """A request that live answers with an error cannot be answered worse."""
    live = wrong_below(3, other=endpoint.reply(500, "down"))

    assert check(await smoke_test(wrong_below(3), live, requests=LABELS), "wrong answers").passed is True
    assert check(await smoke_test(wrong_below(4), live, requests=LABELS), "wrong answers").passed is False


@pytest.mark.parametrize("answer", [[float("nan")], [float("inf")]])
async def test_a_number_that_is_none_is_worse_than_one_that_is_far_off(smoke_test: SmokeTest, answer: Any) -> None:
    """Live is never exact, so that all its answers are wrong: NaN is nevertheless no match for them."""
    evidence = await smoke_test(lambda _: answer, lambda number: [number + 1])

    line = check(evidence, "wrong answers")
    assert (line.passed, line.candidate, line.limit) == (False, "4 of 4 not comparable", "≤ 0, as live")


async def test_expected_answers_of_another_shape_are_no_measure(smoke_test: SmokeTest) -> None:
    """Where not one answer could match, as the file has bare labels and the answers are objects, it is said."""
    evidence = await smoke_test(lambda _: {"label": "spam"}, lambda _: {"label": "spam"}, requests=LABELS)

    line = check(evidence, "wrong answers")
    assert (line.passed, line.candidate, line.limit) == (False, "{label: text}", "as the expected ones: text")


@pytest.mark.parametrize(("wrong", "passed"), [(8, True), (20, False)])
async def test_the_first_deployment_must_be_right_now_and_then(endpoint: Any, wrong: int, passed: bool) -> None:
    """Some wrong answers do not fail a first deployment, which has no live one beside it; only wrong ones do."""
    endpoint.deployments = {
        "blue": lambda request: endpoint.reply(200, json.dumps(wrong_below(wrong)(request["data"])))
    }
    async with Scorer(endpoint.uri, "secret") as scorer:
        evidence = await smoke.run(scorer, LABELS, SmokeTestConfig(), candidate="blue", live="blue")

    assert (check(evidence, "wrong answers").passed, evidence.verdict) == (passed, "passed" if passed else "failed")


@pytest.mark.parametrize(("factor", "passed"), [(1.0, True), (1.2, True), (1.3, False), (0.5, True)])
async def test_the_mean_error_may_not_exceed_the_live_ones(smoke_test: SmokeTest, factor: float, passed: bool) -> None:
    """A candidate within the tolerance still fails when it errs more than a share above the live one."""
    evidence = await smoke_test(
        lambda number: [number + 0.1 * factor], lambda number: [number - 0.1], tolerance=10, max_error_increase=0.25
    )

    line = check(evidence, "mean error")
    assert (line.passed, line.live, line.limit) == (passed, "0.1", "≤ 0.125")
    assert failed(evidence) == ([] if passed else ["mean error"])


async def test_right_is_no_increase_where_live_has_no_error(smoke_test: SmokeTest) -> None:
    """Expected answers that are the live deployment's own leave the tolerance as the only measure."""
    evidence = await smoke_test(lambda number: [number + 0.1], tolerance=0.2)

    line = check(evidence, "mean error")
    assert (line.passed, line.live, line.limit) == (True, "0", "≤ 0.2")
