"""Instances during a rollout: more are given in time, and none are taken from users, whoever else scales."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from prefect.logging import disable_run_logger

from localazure.chaos import Chaos
from saferollout.azure.client import Client
from saferollout.azure.workspace import Workspace
from saferollout.config import project
from saferollout.config.judge import JudgeConfig
from saferollout.config.rollout import StageConfig
from saferollout.domain.errors import AzureFailed, GateFailed
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.rollout import begin as planning
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import Phase
from saferollout.rollout.rollback import put_traffic_back, roll_back
from saferollout.rollout.rollout import Rollout
from tasks.approval import changes
from tasks.create import create_candidate
from tasks.recheck import recheck
from tasks.scale import scale_candidate, scale_live
from tasks.shift import shift_traffic
from tests.support.stack import Endpoint, Stack, phase_of


def begin(endpoint: Endpoint, **config: Any) -> Rollout:
    """Begin a rollout, scale the live deployment and create the candidate."""
    rollout = planning.begin(
        endpoint.workspace(),
        project.load(endpoint.config(**config)),
        Owner(name="ann@laptop", flow_run="run-1"),
        gone=None,
        begun_before=False,
    )
    assert rollout is not None

    async def prepare() -> None:
        await scale_live.fn(rollout)
        await create_candidate.fn(rollout)

    asyncio.run(prepare())
    return rollout


def counts(endpoint: Endpoint) -> dict[str, int]:
    """The deployments' instances."""
    return {name: deployment.instance_count for name, deployment in endpoint.state().deployments.items()}


def test_what_an_autoscaler_added_stays(endpoint: Endpoint) -> None:
    """Live goes from 1 to 2 by the rollout, and to 4 by its load: neither a second pass nor a rollback takes those.

    The candidate has as many before it gets all traffic.
    """
    rollout = begin(endpoint)
    assert counts(endpoint) == {"blue": 2, "green": 1}
    endpoint.scale("blue", 4)

    asyncio.run(scale_live.fn(rollout))
    asyncio.run(scale_candidate.fn(rollout, rollout.project.config.stages[1]))

    assert counts(endpoint) == {"blue": 4, "green": 4}
    roll_back(endpoint.workspace(), endpoint.name)
    assert counts(endpoint)["blue"] == 4


def test_a_small_candidate_is_the_configs_will_and_a_warning(endpoint: Endpoint) -> None:
    """Whoever approves sees that it will carry with 1 instance what 2 have carried."""
    endpoint.scale("blue", 2)
    rollout = begin(endpoint, live={}, candidate={"instance_count": 1})
    stage = rollout.project.config.stages[1]

    asyncio.run(scale_candidate.fn(rollout, stage))
    shown = asyncio.run(changes.fn(rollout, stage, "?"))

    assert counts(endpoint) == {"blue": 2, "green": 1}
    assert "⚠️ green takes over with 1 of blue's 2 instances, as the config says." in shown.text


def test_a_live_deployment_that_was_scaled_in_gets_its_instances_before_its_traffic(
    endpoint: Endpoint, stack: Stack
) -> None:
    """All users on half the instances would be an outage; while Azure scales, nothing goes forward either."""
    endpoint.scale("blue", 2)
    rollout = begin(endpoint, live={})
    with disable_run_logger():
        asyncio.run(shift_traffic.fn(rollout, rollout.project.config.stages[0], None))
    endpoint.scale("blue", 1)
    path = f"onlineEndpoints/{endpoint.name}/deployments/blue"

    with (
        closing(Chaos(stack.env)) as chaos,
        ThreadPoolExecutor(1) as pool,
        chaos.hang(method="PATCH", path=path) as scaling,
    ):
        rolled_back = pool.submit(roll_back, Workspace(Client(endpoint.workspace_config())), endpoint.name)
        scaling.wait()
        assert endpoint.state().traffic == {"blue": 90, "green": 10}
        assert phase_of(endpoint) is Phase.ROLLING_BACK
        scaling.remove()
        rolled_back.result(timeout=120)

    assert endpoint.state().traffic == {"blue": 100}
    assert counts(endpoint)["blue"] == 2


def test_harm_ends_at_once_as_far_as_live_can_carry(endpoint: Endpoint, stack: Stack) -> None:
    """Half of its instances carry half of the users; where Azure has no more of them, users get live all the same."""
    endpoint.scale("blue", 2)
    rollout = begin(endpoint, live={})
    with disable_run_logger():
        asyncio.run(shift_traffic.fn(rollout, rollout.project.config.stages[1], None))
    endpoint.scale("blue", 1)

    assert put_traffic_back(endpoint.workspace(), rollout) is False

    assert endpoint.state().traffic == {"blue": 50, "green": 50}
    path = f"onlineEndpoints/{endpoint.name}/deployments/blue"
    with (
        closing(Chaos(stack.env)) as chaos,
        chaos.answer(400, code="OutOfQuota", method="PATCH", path=path, times=None),
        pytest.raises(AzureFailed, match="OutOfQuota"),
    ):
        roll_back(endpoint.workspace(), endpoint.name)
    assert endpoint.state().traffic == {"blue": 100}

    roll_back(endpoint.workspace(), endpoint.name)
    assert counts(endpoint)["blue"] == 2


def test_a_candidate_that_no_longer_answers_as_before_does_not_get_its_share(endpoint: Endpoint) -> None:
    """Its recorded requests are sent once more, whatever they proved before the question.

    Answers that have all changed by then are not what a person approved; they were, if the smoke test was undecided.
    """
    wrong = f"if not pathlib.Path({str(endpoint.directory / 'raise')!r}).exists():"
    deployment, switch = endpoint.turning(
        f"{wrong}\n            return [1000 * y for y in score.predict(rows)]\n        raise LookupError('turned bad')"
    )
    sample = endpoint.directory / "sample-request.json"
    sample.write_text('{"data": [[54.0, 2.0, 36.1, 115.0, 163.0, 98.4, 43.0, 4.0, 4.6821, 101.0]]}')
    smoke_test = {"requests": str(sample), "max_latency_ms": 5000}
    rollout = begin(endpoint, deployment=str(deployment), smoke_test=smoke_test)
    stage = StageConfig(traffic=10, recheck_s=0)
    passed, undecided = (
        Evidence(gate="smoke test", verdict=verdict, summary="")
        for verdict in (GateVerdict.PASSED, GateVerdict.UNDECIDED)
    )
    asyncio.run(recheck.fn(rollout, stage, JudgeConfig(), [passed], None))
    switch.touch()

    doubt = (
        "green went bad as its recheck shows: smoke test undecided: numbers at '.*' are orders of magnitude off in 1"
    )
    with pytest.raises(GateFailed, match=doubt):
        asyncio.run(recheck.fn(rollout, stage, JudgeConfig(), [passed], None))
    asyncio.run(recheck.fn(rollout, stage, JudgeConfig(), [undecided], None))
    (endpoint.directory / "raise").touch()
    with pytest.raises(
        GateFailed, match="green went bad as its recheck shows: smoke test failed: failed requests: 1 of 1"
    ):
        asyncio.run(recheck.fn(rollout, stage, JudgeConfig(), [undecided], None))
