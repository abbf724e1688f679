"""The smoke test, against a real endpoint: what it sends, and what each check lets pass."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from saferollout.config.recorded_requests import RecordedRequest
from saferollout.config.rollout import SmokeTestConfig
from saferollout.gates import smoke_test as smoke
from saferollout.gates.scoring import Scorer
from tests.support.smoke_test import REQUESTS, UNANSWERED, SmokeTest, check, failed


async def test_a_good_candidate_passes(smoke_test: SmokeTest) -> None:
    """All checks are in the table, none has failed, and the summary says so in one sentence."""
    evidence = await smoke_test()

    assert [line.check for line in evidence.checks] == [
        "failed requests",
        "answer shape",
        "latency p95",
        "wrong answers",
        "difference to live",
        "mean error",
        "changed answers",
    ]
    assert (evidence.gate, evidence.verdict, failed(evidence)) == ("smoke test", "passed", [])
    assert evidence.summary == "4 recorded requests answered as they should be; no answer differs from live's"
    assert evidence.duration_s > 0


async def test_every_request_goes_to_both_deployments(smoke_test: SmokeTest, endpoint: Any) -> None:
    """Each request is pinned, so the candidate is tested without a user's request reaching it."""
    await smoke_test()

    for deployment in ("green", "blue"):
        assert [body for pinned, body in endpoint.seen if pinned == deployment] == [
            request.request for request in REQUESTS
        ]


@pytest.mark.parametrize(("allowed", "verdict"), [(0, "failed"), (1, "failed"), (2, "passed")])
async def test_failed_requests_are_counted(smoke_test: SmokeTest, endpoint: Any, allowed: int, verdict: str) -> None:
    """More failed answers than allowed fail the test, and one of them is shown."""
    evidence = await smoke_test(
        lambda number: endpoint.reply(500, "no such column") if number > 2 else [number], max_failed=allowed
    )

    line = check(evidence, "failed requests")
    assert (evidence.verdict, line.candidate, line.live) == (verdict, "2 of 4, e.g. 500 no such column", "0 of 4")
    assert line.limit == f"≤ {allowed}"


async def test_the_scoring_scripts_error_is_shown(smoke_test: SmokeTest, endpoint: Any) -> None:
    """Azure hides the script's status in headers of its 424; they are what a person needs."""
    headers = {"ms-azureml-model-error-statuscode": "500", "ms-azureml-model-error-reason": "model_error"}

    evidence = await smoke_test(lambda _: endpoint.reply(424, "", headers))

    assert check(evidence, "failed requests").candidate == "4 of 4, e.g. 424 500 model_error"
    assert "failed requests: 4 of 4" in evidence.summary


@pytest.mark.parametrize(
    ("candidate", "shape"),
    [
        (lambda number: [number, number], "2 × number"),
        (lambda number: {"answer": number}, "{answer: number}"),
        (lambda number: [str(number)], "1 × text"),
        (lambda _: [None], "1 × null"),
    ],
)
async def test_another_shape_fails(smoke_test: SmokeTest, candidate: Callable[[float], Any], shape: str) -> None:
    """Without a schema, what the users' code can read is what the live deployment answers."""
    evidence = await smoke_test(candidate, requests=UNANSWERED)

    line = check(evidence, "answer shape")
    assert (line.candidate, line.live, line.passed) == (shape, "1 × number", False)
    assert failed(evidence) == ["answer shape"]


@pytest.mark.parametrize(
    ("schema", "passed", "found"),
    [
        ({"type": "array"}, True, "valid"),
        ({"type": "array", "items": {"maximum": 2}}, False, "2 violations, e.g. 3.0 is greater than the maximum of 2"),
        ({"type": "object"}, False, "4 violations, e.g. [1.0] is not of type 'object'"),
    ],
)
async def test_a_schema_takes_the_place_of_the_live_shape(
    smoke_test: SmokeTest, schema: dict[str, Any], passed: bool, found: str
) -> None:
    """With a schema the candidate may differ from the live one, but not from the schema."""
    evidence = await smoke_test(live=lambda number: {"old": number}, schema=schema, requests=UNANSWERED)

    line = check(evidence, "answer schema")
    assert (line.passed, line.candidate) == (passed, found)
    assert "answer shape" not in [line.check for line in evidence.checks]


@pytest.mark.parametrize("schema", [None, {"type": "array"}])
async def test_no_answer_has_no_shape(smoke_test: SmokeTest, endpoint: Any, schema: dict[str, Any] | None) -> None:
    """A candidate that never answered has shown nothing, even where failures are allowed."""
    evidence = await smoke_test(lambda _: endpoint.reply(503, "later"), schema=schema, max_failed=4)

    line = check(evidence, "answer schema" if schema else "answer shape")
    assert (line.candidate, line.passed, evidence.verdict) == ("no answer", False, "failed")


@pytest.mark.parametrize(("limit_ms", "passed"), [(20, False), (5000, True)])
async def test_a_slow_candidate_fails(smoke_test: SmokeTest, endpoint: Any, limit_ms: float, passed: bool) -> None:
    """The 95th percentile counts, and the live one's stands beside it."""

    def slow(number: float) -> Any:
        endpoint.released.wait(0.03)
        return [number]

    evidence = await smoke_test(slow, max_latency_ms=limit_ms)

    line = check(evidence, "latency p95")
    assert (line.passed, line.limit) == (passed, f"≤ {limit_ms:.0f} ms")
    assert float(line.candidate.removesuffix(" ms")) >= 30


@pytest.mark.parametrize("times", [1, 2])
async def test_json_text_is_what_it_holds(smoke_test: SmokeTest, endpoint: Any, times: int) -> None:
    """`return json.dumps(…)` in a script: compared with expected answers, live ones and the schema as any other."""

    def encoded(number: float) -> Any:
        text: Any = {"y": [number]}
        for _ in range(times + 1):
            text = json.dumps(text)
        return endpoint.reply(200, text)

    requests = [RecordedRequest(request=request.request, answer={"y": request.answer}) for request in REQUESTS]
    evidence = await smoke_test(encoded, encoded, requests=requests)

    assert (evidence.verdict, check(evidence, "wrong answers").candidate) == ("passed", "0 of 4")
    assert check(evidence, "answer shape").candidate == "{y: 1 × number}"
    for schema, passed in (({"type": "object"}, True), ({"type": "array"}, False)):
        evidence = await smoke_test(encoded, encoded, requests=requests, schema=schema)
        assert check(evidence, "answer schema").passed is passed
    recorded = [RecordedRequest(request=request.request, answer=json.dumps(request.answer)) for request in REQUESTS]
    assert check(await smoke_test(requests=recorded), "wrong answers").candidate == "0 of 4"


async def test_lengths_may_vary_where_lives_do(smoke_test: SmokeTest) -> None:
    """A detector finds more objects than live at some requests: no other shape, if live's number varies."""

    def found(more: int) -> Callable[[float], Any]:
        return lambda number: {"boxes": [{"x": 0.5, "label": "cat"}] * (int(number) % 3 + more)}

    evidence = await smoke_test(found(1), found(0), requests=UNANSWERED)
    assert (evidence.verdict, check(evidence, "answer shape").passed) == ("passed", True)

    evidence = await smoke_test(lambda _: {"boxes": [{"x": 0.5}]}, found(1), requests=UNANSWERED)
    line = check(evidence, "answer shape")
    assert (line.passed, line.note) == (False, "no 'label' in 'boxes.*'")


async def test_keys_that_always_differ_can_be_ignored(smoke_test: SmokeTest) -> None:
    """An id and the model's version are in each answer: they are not part of what is right."""
    ids = itertools.count()

    def body(number: float) -> Any:
        return {"y": [number], "meta": {"request_id": f"id {next(ids)}"}}

    requests = [RecordedRequest(request=request.request, answer=body(request.request["data"])) for request in REQUESTS]
    strict, lenient = [
        await smoke_test(body, body, requests=requests, ignore=keys, max_wrong=0) for keys in ((), ("meta",))
    ]

    assert (check(strict, "wrong answers").candidate, check(lenient, "wrong answers").candidate) == ("4 of 4", "0 of 4")
    assert check(lenient, "difference to live").candidate == "0 on average"
    assert (failed(strict), failed(lenient)) == (["wrong answers"], [])


async def test_broken_live_deployment_is_not_held_against_the_candidate(smoke_test: SmokeTest, endpoint: Any) -> None:
    """Where the live deployment answers nothing there is nothing to compare with; the candidate may be the cure."""
    evidence = await smoke_test(live=lambda _: endpoint.reply(500, "down"))

    line = check(evidence, "answer shape")
    assert (line.passed, line.candidate, line.live) == (None, "not comparable", "no answer")
    assert evidence.verdict == "passed"


async def test_the_difference_to_live_only_informs(smoke_test: SmokeTest) -> None:
    """Without true answers, another answer is not a wrong one: a better model differs too."""
    evidence = await smoke_test(lambda number: [number + 2], requests=UNANSWERED)

    line = check(evidence, "difference to live")
    assert (line.passed, line.candidate, evidence.verdict) == (None, "2 on average", "passed")
    assert {"wrong answers", "mean error"}.isdisjoint(line.check for line in evidence.checks)


async def test_answers_that_are_no_numbers_are_not_compared(smoke_test: SmokeTest) -> None:
    """Two texts have no difference in numbers, and that is said."""
    evidence = await smoke_test(lambda _: ["yes"], lambda _: ["no"], requests=UNANSWERED)

    assert check(evidence, "difference to live").candidate == "not comparable"


async def test_all_failures_are_in_the_summary(smoke_test: SmokeTest) -> None:
    """One sentence says all that is wrong."""
    evidence = await smoke_test(lambda number: [number + 9, 0])

    assert evidence.summary == (
        "answer shape: 2 × number (limit as the live one's); "
        "wrong answers: 4 of 4 (limit ≤ 0, as live, within 1e-06 of the expected)"
    )


async def test_what_nobody_knows_is_not_called_right(smoke_test: SmokeTest) -> None:
    """Without true answers only the shape was checked: the first line says so, and how far from live's answers are."""
    evidence = await smoke_test(lambda number: [number * 1.031], requests=UNANSWERED)

    assert evidence.verdict == "passed"
    assert evidence.headline == (
        "**smoke test: passed** — 4 recorded requests answered in live's shape; whether the answers are right is "
        "not known, as none has a true answer; 4 of 4 answers differ from live's: numbers by 3.1% (median)"
    )
    assert check(evidence, "changed answers").candidate == "4 of 4 answers differ"

    some = await smoke_test(requests=[*REQUESTS[:1], *UNANSWERED[1:]])
    assert some.summary == (
        "4 recorded requests answered in live's shape; wrong answers: 0 of 1 (live: 0 of 1); mean error: 0 (live: 0); "
        "whether the answers are right is not known, as only 1 has a true answer; no answer differs from live's"
    )


async def test_as_wrong_as_live_is_not_called_right(smoke_test: SmokeTest, endpoint: Any) -> None:
    """Passing with wrong or failed answers is said as it is."""
    evidence = await smoke_test(lambda number: [number + 1], lambda number: [number + 1])

    assert evidence.verdict == "passed"
    assert evidence.summary == (
        "4 recorded requests answered in live's shape; wrong answers: 4 of 4 (live: 4 of 4); mean error: 1 (live: 1); "
        "no answer differs from live's"
    )
    failing = await smoke_test(lambda number: endpoint.reply(500, "no") if number > 3 else [number], max_failed=1)
    assert failing.summary == "3 of 4 recorded requests answered as they should be; no answer differs from live's"
    alone = await smoke_test(live=lambda _: endpoint.reply(500, "down"), requests=UNANSWERED)
    assert alone.summary == (
        "4 recorded requests answered; whether the answers are right is not known, as none has a true answer; no "
        "answer could be compared with live's"
    )


@pytest.mark.parametrize(
    ("candidate", "live", "doubt"),
    [
        (
            lambda _: [0.5, 0.5],
            lambda number: [11056 * number, 4503],
            "numbers at '*' are orders of magnitude off in",
        ),
        (lambda _: {"label": "a"}, lambda _: {"label": "b"}, "every label differs from live's ('label')"),
    ],
)
async def test_answers_that_have_all_changed_are_undecided(
    smoke_test: SmokeTest, candidate: Callable[[float], Any], live: Callable[[float], Any], doubt: str
) -> None:
    """The right shape, and something else entirely: not passed, unless the config or a true answer says so."""
    evidence = await smoke_test(candidate, live, requests=UNANSWERED)

    assert (evidence.verdict, failed(evidence)) == ("undecided", [])
    assert evidence.summary.startswith(doubt)
    assert "smoke_test.expect_change: true" in evidence.summary
    assert check(evidence, "changed answers").note.startswith(doubt)
    expected = await smoke_test(candidate, live, requests=UNANSWERED, expect_change=True)
    assert (expected.verdict, doubt in expected.summary) == ("passed", False)
    known = [RecordedRequest(request=request.request, answer=candidate(0)) for request in REQUESTS]
    assert (await smoke_test(candidate, live, requests=known)).verdict == "passed"
    unlike = await smoke_test(candidate, live, requests=UNANSWERED, schema={"type": "number"})
    assert (unlike.verdict, doubt in unlike.summary) == ("failed", False)


async def test_keys_to_ignore_are_no_change(smoke_test: SmokeTest) -> None:
    """A version that is another one in each answer raises no doubt where the config leaves it out."""

    def body(version: str) -> Callable[[float], Any]:
        return lambda number: {"y": number + (version == "2"), "version": version}

    doubted, ignored = [
        await smoke_test(body("2"), body("1"), requests=UNANSWERED, ignore=keys) for keys in ((), ("version",))
    ]

    assert (doubted.verdict, ignored.verdict) == ("undecided", "passed")
    assert "every label differs from live's ('version')" in doubted.summary


async def test_one_request_sent_often_is_one(smoke_test: SmokeTest) -> None:
    """A repeated request counts once as an answer that changed, and the summary warns of it."""
    evidence = await smoke_test(lambda number: [number * 2], requests=UNANSWERED[:1] * 3)

    assert evidence.summary == (
        "3 recorded requests (1 distinct) answered in live's shape; whether the answers are right is not known, as "
        "none has a true answer; 1 of 1 answer differs from live's: numbers by 100% (median); "
        "one distinct request says little about others: record more"
    )
    first = await smoke_test(requests=UNANSWERED[:1])
    assert first.summary.startswith("1 recorded request answered in live's shape; ")


async def test_a_first_deployment_is_not_compared_with_itself(endpoint: Any) -> None:
    """It has no live one beside it: nothing is said of a difference, and nothing is in doubt."""
    endpoint.deployments = {"blue": lambda _: endpoint.reply(200, [1])}
    async with Scorer(endpoint.uri, "secret") as scorer:
        evidence = await smoke.run(scorer, UNANSWERED, SmokeTestConfig(), candidate="blue", live="blue")

    assert (evidence.verdict, evidence.summary) == (
        "passed",
        "4 recorded requests answered; whether the answers are right is not known, as none has a true answer",
    )
    assert "changed answers" not in [line.check for line in evidence.checks]
