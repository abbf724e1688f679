"""Requests and answers that are not JSON: sent as they are, and compared as JSON, by bytes, or not at all."""

from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from saferollout.config.judge import JudgeConfig
from saferollout.config.recorded_requests import Compare, RecordedRequest
from saferollout.config.rollout import SmokeTestConfig
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.gates import smoke_test as smoke
from saferollout.gates.arrival import Sight, look_who_serves
from saferollout.gates.scoring import Response, Scorer
from saferollout.gates.sources.probes import Probes
from saferollout_cli.demo.users import Users
from tests.support.smoke_test import check, failed
from tests.unit.conftest import Endpoint, Reply

BYTES = bytes(range(256))


def recorded(*bodies: bytes, compare: str | None = None, **more: Any) -> list[RecordedRequest]:
    """Requests with these images."""
    how = Compare(compare) if compare else None
    return [RecordedRequest(request=None, body=body, content_type="image/png", compare=how, **more) for body in bodies]


def answering(content: Any, content_type: str, *, length: int = 1) -> Any:
    """A deployment that answers so; bytes so many times over."""
    return lambda _: Reply(200, content * length, {"Content-Type": content_type} if content_type else {})


async def score(endpoint: Endpoint, request: RecordedRequest, content: Any, content_type: str) -> Response:
    """What comes back for a request that is answered so."""
    endpoint.deployments["green"] = answering(content, content_type)
    async with Scorer(endpoint.uri, "secret") as scorer:
        return await scorer.score(request, deployment="green")


async def smoke_test(endpoint: Endpoint, requests: list[RecordedRequest], candidate: Any, live: Any) -> Evidence:
    """The smoke test of a candidate beside a live deployment."""
    endpoint.deployments = {"green": candidate, "blue": live}
    async with Scorer(endpoint.uri, "secret") as scorer:
        return await smoke.run(scorer, requests, SmokeTestConfig(), candidate="green", live="blue")


async def test_a_body_arrives_as_it_is(endpoint: Endpoint) -> None:
    """Every byte, with its type; JSON goes as JSON."""
    await score(endpoint, recorded(BYTES)[0], [1], "application/json")
    await score(endpoint, RecordedRequest(request={"x": 1}), [1], "application/json")

    assert [body for _, body in endpoint.seen] == [BYTES, {"x": 1}]
    assert endpoint.types == ["image/png", "application/json"]


@pytest.mark.parametrize(
    ("content", "content_type", "compare", "body"),
    [
        (b'{"y": 1}', "application/json", None, {"y": 1}),
        (b'{"y": 1}', "application/octet-stream", None, {"y": 1}),
        (b'{"y": 1}', "", "json", {"y": 1}),
        (b"a,b\n1,2\n", "text/csv", None, "a,b\n1,2\n"),
        (b"\xe9", "text/plain; charset=latin-1", None, "é"),
        (b"\x08\x96\x01", "application/x-protobuf", None, "application/x-protobuf of 3 bytes, SHA-256 "),
        (b"12", "image/png", None, "image/png of 2 bytes, SHA-256 "),
        (b'{"y": 1}', "application/json", "bytes", "application/json of 8 bytes, SHA-256 "),
        (b'{"y": 1}', "application/json", "none", None),
    ],
)
async def test_answers_are_read_by_their_type(
    endpoint: Endpoint, content: bytes, content_type: str, compare: str | None, body: Any
) -> None:
    """As JSON where they are, as text, or as bytes that differ or do not."""
    (request,) = recorded(BYTES, compare=compare)
    answer = await score(endpoint, request, content, content_type)
    other = await score(endpoint, request, content + b" ", content_type)

    assert (answer.status, answer.error) == (200, "")
    if isinstance(body, str) and "SHA" in body:
        assert answer.body.startswith(body)
        assert answer.body != other.body
    else:
        assert answer.body == body


async def test_an_answer_that_shall_be_json_and_is_not_is_an_error(endpoint: Endpoint) -> None:
    """Where the file says how answers are compared."""
    answer = await score(endpoint, recorded(BYTES, compare="json")[0], BYTES, "image/png")

    assert (answer.ok, answer.error) == (False, "200, but the answer is not JSON (image/png)")


@pytest.mark.parametrize(
    ("answered", "verdict"),
    [(b"\x00\xff", GateVerdict.PASSED), (b"\x00\xfe", GateVerdict.UNDECIDED)],
    ids=["same", "other"],
)
async def test_images_are_compared_by_their_bytes(endpoint: Endpoint, answered: bytes, verdict: GateVerdict) -> None:
    """Nobody says which is right, so that a change of all of them is a person's to judge."""
    live = answering(b"\x00\xff", "image/png")
    found = await smoke_test(endpoint, recorded(BYTES, BYTES[::-1]), answering(answered, "image/png"), live)

    assert (found.verdict, failed(found)) == (verdict, [])


async def test_what_is_not_compared_still_has_to_be_answered(endpoint: Endpoint) -> None:
    """With `compare: none` any answer passes, an error does not, and the evidence says what was not looked at."""
    requests = recorded(BYTES, BYTES[::-1], compare="none")
    live = answering(b"\x00\xff", "image/png")
    found = await smoke_test(endpoint, requests, answering(b"\x01" * 9, "audio/wav", length=99), live)
    broken = await smoke_test(endpoint, requests, lambda _: Reply(500, "no", {}), live)

    assert (found.verdict, failed(found)) == (GateVerdict.PASSED, [])
    assert check(found, "answer shape").candidate == "not compared"
    assert "answers to 2 requests are not compared (compare: none)" in found.summary
    assert failed(broken) == ["failed requests"]


@pytest.mark.slow
async def test_probes_send_and_compare_them_too(endpoint: Endpoint) -> None:
    """Answers that differ disagree, where they are compared; without that there is nothing to disagree."""
    counts = {}
    endpoint.deployments = {"green": answering(b"\x00", "image/png"), "blue": answering(b"\x01", "image/png")}

    async def connect() -> Scorer:
        return Scorer(endpoint.uri, "secret")

    config = JudgeConfig.model_validate({"requests_per_s": 50, "prediction_drift": {"kind": "json", "tolerance": 0.1}})
    for compare in (None, "none"):
        source = Probes(connect, recorded(BYTES, compare=compare), config, candidate="green", live="blue", instances=4)
        async with aclosing(source.batches()) as batches:
            async for seen in batches:
                if seen.batch.candidate_requests:
                    counts[compare] = (seen.batch.candidate_errors, set(np.asarray(seen.batch.disagreements).tolist()))
                    break

    assert counts == {None: (0, {1.0}), "none": (0, set())}
    assert {body for _, body in endpoint.seen} == {BYTES}


@pytest.mark.slow
async def test_whoever_asks_who_serves_users_sends_them_too(endpoint: Endpoint) -> None:
    """After a change of traffic, as any user does."""
    endpoint.deployments[None] = lambda _: Reply(200, b"\x00", {"azureml-model-deployment": "blue"})
    async with Scorer(endpoint.uri, "secret") as scorer:
        served = await look_who_serves(scorer, recorded(BYTES), old={"blue": 90, "green": 10}, new={"blue": 100})

    assert served.sight is Sight.AS_SET
    assert {body for _, body in endpoint.seen} == {BYTES}


async def test_the_demos_users_send_them_too(endpoint: Endpoint) -> None:
    """An answer of which nobody knows whether it is right is not a wrong one."""
    users = Users(tolerance=1)
    endpoint.deployments[None] = answering(b"\x00", "image/png")
    async with Scorer(endpoint.uri, "secret") as scorer:
        for request in [*recorded(BYTES), RecordedRequest(request=1, answer=[1])]:
            await users.send(scorer, request)

    assert (users.total, users.failed) == (2, 1)


async def test_no_failure_of_the_demos_users_is_lost(endpoint: Endpoint) -> None:
    """What nobody has foreseen, as a client that is closed, counts as a request that failed, with its reason."""
    users = Users(tolerance=1)
    async with Scorer(endpoint.uri, "secret") as scorer:
        pass
    await users.send(scorer, RecordedRequest(request=1))

    assert (users.total, users.failed) == (1, 1)
    assert users.examples[0].startswith(": RuntimeError: ")
