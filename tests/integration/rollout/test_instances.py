"""Instances during a rollout: more are given in time, and none are taken from users, whoever else scales."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from localazure.chaos import Chaos
from saferollout import planning, project
from saferollout.config import StageConfig
from saferollout.errors import AzureFailed, GateFailed
from saferollout.evidence import Evidence
from saferollout.judge_config import JudgeConfig
from saferollout.plan import Plan
from saferollout.record import Owner, Phase
from saferollout.restore import put_traffic_back, restore
from tasks.approval import changes
from tasks.create import create_candidate
from tasks.recheck import recheck
from tasks.scale import scale_candidate, scale_live
from tasks.shift import shift_traffic
from tests.stack import Endpoint, Stack, phase_of


def begin(endpoint: Endpoint, **config: Any) -> Plan:
    """Begin a rollout, scale the live deployment and create the candidate."""
    plan = planning.begin(
        endpoint.workspace(), project.load(endpoint.config(**config)), Owner(name="ann@laptop", flow_run="run-1"),
        gone=None, begun_before=False,
    )  # fmt: skip
    assert plan is not None

    async def prepare() -> None:
        await scale_live.fn(plan)
        await create_candidate.fn(plan)

    asyncio.run(prepare())
    return plan


def counts(endpoint: Endpoint) -> dict[str, int]:
    """The deployments' instances."""
    return {name: deployment.instance_count for name, deployment in endpoint.state().deployments.items()}


def test_what_an_autoscaler_added_stays(endpoint: Endpoint) -> None:
    """Live goes from 1 to 2 by the rollout, and to 4 by its load: neither a second pass nor a rollback takes those.

    The candidate has as many before it gets all traffic.
    """
    plan = begin(endpoint)
    assert counts(endpoint) == {"blue": 2, "green": 1}
    endpoint.scale("blue", 4)

    asyncio.run(scale_live.fn(plan))
    asyncio.run(scale_candidate.fn(plan, plan.project.config.stages[1]))

    assert counts(endpoint) == {"blue": 4, "green": 4}
    restore(endpoint.workspace(), endpoint.name)
    assert counts(endpoint)["blue"] == 4


def test_a_small_candidate_is_the_configs_will_and_a_warning(endpoint: Endpoint) -> None:
    """Whoever approves sees that it will carry with 1 instance what 2 have carried."""
    endpoint.scale("blue", 2)
    plan = begin(endpoint, live={}, candidate={"instance_count": 1})
    stage = plan.project.config.stages[1]

    asyncio.run(scale_candidate.fn(plan, stage))
    shown = asyncio.run(changes.fn(plan, stage, "?"))

    assert counts(endpoint) == {"blue": 2, "green": 1}
    assert "⚠️ green takes over with 1 of blue's 2 instances, as the config says." in shown


def test_a_live_deployment_that_was_scaled_in_gets_its_instances_before_its_traffic(
    endpoint: Endpoint, stack: Stack
) -> None:
    """All users on half the instances would be an outage; while Azure scales, nothing goes forward either."""
    endpoint.scale("blue", 2)
    plan = begin(endpoint, live={})
    asyncio.run(shift_traffic.fn(plan, plan.project.config.stages[0], None))
    endpoint.scale("blue", 1)
    path = f"onlineEndpoints/{endpoint.name}/deployments/blue"

    with (
        closing(Chaos(stack.env)) as chaos,
        ThreadPoolExecutor(1) as pool,
        chaos.hang(method="PATCH", path=path) as scaling,
    ):
        undone = pool.submit(restore, type(endpoint.workspace())(endpoint.workspace_config()), endpoint.name)
        scaling.wait()
        assert endpoint.state().traffic == {"blue": 90, "green": 10}
        assert phase_of(endpoint) is Phase.UNDOING
        scaling.remove()
        undone.result(timeout=120)

    assert endpoint.state().traffic == {"blue": 100}
    assert counts(endpoint)["blue"] == 2


def test_harm_ends_at_once_as_far_as_live_can_carry(endpoint: Endpoint, stack: Stack) -> None:
    """Half of its instances carry half of the users; where Azure has no more of them, users get live all the same."""
    endpoint.scale("blue", 2)
    plan = begin(endpoint, live={})
    asyncio.run(shift_traffic.fn(plan, plan.project.config.stages[1], None))
    endpoint.scale("blue", 1)

    assert put_traffic_back(endpoint.workspace(), plan) is False

    assert endpoint.state().traffic == {"blue": 50, "green": 50}
    path = f"onlineEndpoints/{endpoint.name}/deployments/blue"
    with (
        closing(Chaos(stack.env)) as chaos,
        chaos.answer(400, code="OutOfQuota", method="PATCH", path=path, times=None),
        pytest.raises(AzureFailed, match="OutOfQuota"),
    ):
        restore(endpoint.workspace(), endpoint.name)
    assert endpoint.state().traffic == {"blue": 100}

    restore(endpoint.workspace(), endpoint.name)
    assert counts(endpoint)["blue"] == 2


def test_a_candidate_that_no_longer_answers_does_not_get_its_share(endpoint: Endpoint) -> None:
    """Its recorded requests are sent once more, whatever they proved before the question."""
    deployment, switch = endpoint.turning("raise LookupError('turned bad')")
    plan = begin(endpoint, deployment=str(deployment))
    stage, earlier = StageConfig(traffic=10, recheck_s=0), Evidence(gate="smoke test", verdict="passed", summary="")
    asyncio.run(recheck.fn(plan, stage, JudgeConfig(), earlier, None))
    switch.touch()

    with pytest.raises(
        GateFailed, match="green went bad as its recheck shows: smoke test failed: failed requests: 20 of 20"
    ):
        asyncio.run(recheck.fn(plan, stage, JudgeConfig(), earlier, None))
