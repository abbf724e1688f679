"""Answers of Microsoft's own inference server, as scripts give them: what smoke test and probes make of them."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest
from azure.ai.ml.entities._assets import Code

from localazure.testing import LocalAzure
from saferollout.azure.client import Client
from saferollout.azure.workspace import Workspace
from saferollout.config.judge import JudgeConfig
from saferollout.config.project import resolve_workspace
from saferollout.config.recorded_requests import RecordedRequest
from saferollout.config.rollout import SmokeTestConfig
from saferollout.gates import smoke_test
from saferollout.gates.scoring import Scorer
from saferollout.gates.sources.probes import Probes
from saferollout.gates.sources.source import Seen
from tests.support.localazure.arm import Arm, Assets
from tests.support.localazure.sdk import SUPPORT, sdk_client

JSON_DRIFT = {"kind": "json", "tolerance": 0.1}
Connect = Callable[[], Awaitable[Scorer]]


@pytest.fixture(scope="module")
def deployed(azure: LocalAzure, arm: Arm, assets: Assets) -> Iterator[str]:
    """An endpoint with two versions of one script."""
    with pytest.MonkeyPatch.context() as patch:
        code = Code(name="answers-code", version="1", path=SUPPORT / "answers")
        registered = sdk_client(azure.environ, patch)._code.create_or_update(code)  # noqa: SLF001 - the SDK registers code for its own use only
    arm.endpoint("answers")
    script = {"codeId": registered.id, "scoringScript": "score.py"}
    for name, environment in (("blue", {}), ("green", {"GREEN": "1"})):
        arm.deploy("answers", name, assets, codeConfiguration=script, environmentVariables=environment)
    arm.endpoint("answers", traffic={"blue": 100})
    yield "answers"
    arm.run("DELETE", "onlineEndpoints/answers")


@pytest.fixture
def connect(deployed: str) -> Connect:
    """As the sources do."""

    async def connect() -> Scorer:
        workspace = Workspace(Client(resolve_workspace(None)))
        return Scorer(workspace.get_endpoint(deployed).scoring_uri, workspace.secret(deployed))

    return connect


async def probed(connect: Connect, answered_as: str, *, errors: int = 0, **config: Any) -> Seen:
    """What probes see in a second of answers of one style, of which so many are errors: a busy machine answers few."""
    requests = [RecordedRequest(request={"as": answered_as, "x": x}) for x in range(8)]
    judge = JudgeConfig.model_validate({"requests_per_s": 40, "capacity_share": 1} | config)
    async with aclosing(
        Probes(connect, requests, judge, candidate="green", live="blue", instances=4).batches()
    ) as seen:
        while True:
            found = await anext(seen)
            if found.batch.candidate_requests and found.batch.candidate_errors >= errors:
                return found


@pytest.mark.parametrize("answered_as", ["text", "twice"])
async def test_json_text_reads_as_the_answer(connect: Connect, answered_as: str) -> None:
    """`return json.dumps(…)`: the server encodes it again, and all compare what is inside."""
    answer = {"predictions": [{"label": "cat"}], "x": 1}
    requests = [RecordedRequest(request={"as": answered_as, "x": 1}, answer=answer)]
    async with await connect() as scorer:
        assert (await scorer.score(requests[0].request)).body == answer
        evidence = await smoke_test.run(scorer, requests, SmokeTestConfig(max_wrong=0), candidate="green", live="blue")
    assert evidence.verdict == "passed", evidence.summary

    drift = {"kind": "labels", "path": "predictions.0.label", "tolerance": 0.1}
    seen = await probed(connect, answered_as, prediction_drift=drift)
    assert (seen.batch.candidate_errors, seen.lacking) == (0, ())
    assert set(np.asarray(seen.batch.disagreements)) == {0.0}


async def test_the_same_nan_agrees(connect: Connect) -> None:
    """The server sends NaN and Infinity as Python's JSON writes them."""
    seen = await probed(connect, "nan", prediction_drift=JSON_DRIFT)

    assert seen.batch.candidate_errors == 0
    assert set(np.asarray(seen.batch.disagreements)) == {0.0}


async def test_what_differs_at_each_call_can_be_ignored(connect: Connect) -> None:
    """An id and the version of the model are in each answer: drift as long as nobody says what they are."""
    strict = await probed(connect, "meta", prediction_drift=JSON_DRIFT)
    lenient = await probed(connect, "meta", prediction_drift=JSON_DRIFT | {"ignore": ["request_id", "model_version"]})

    assert strict.batch.candidate_errors == lenient.batch.candidate_errors == 0
    assert set(np.asarray(strict.batch.disagreements)) == {2 / 3}
    assert set(np.asarray(lenient.batch.disagreements)) == {0.0}


@pytest.mark.parametrize("answered_as", ["object", "plain"])
async def test_an_exception_that_the_script_returns_is_an_error(connect: Connect, answered_as: str) -> None:
    """`except Exception as error: return str(error)`: half of the candidate's answers, with status 200."""
    seen = await probed(connect, answered_as, errors=1)

    assert seen.batch.candidate_errors == pytest.approx(seen.batch.candidate_requests / 2, abs=4)
    assert seen.batch.live_errors == 0
    assert "no such column" in seen.example
