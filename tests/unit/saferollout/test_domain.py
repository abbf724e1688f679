"""The plain values of a rollout."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from saferollout.domain import Baseline, Decision, Plan, describe

PLAN = Plan(
    rollout="r-1", config="configs/rollout.yaml", model=None, endpoint="diabetes", candidate="green",
    revision="0123456789ab", baseline=Baseline(live="blue", instance_count=1), live_instance_count=2, stage=0,
    approvals={},
)  # fmt: skip


@pytest.mark.parametrize(
    ("share", "traffic"), [(0, {"blue": 100}), (10, {"blue": 90, "green": 10}), (100, {"green": 100})]
)
def test_a_plan_knows_each_stages_traffic(share: int, traffic: dict[str, int]) -> None:
    """A deployment without traffic is not named: Azure would show it no differently."""
    assert PLAN.traffic(share) == traffic


@given(st.integers(0, 100))
def test_traffic_always_sums_to_100(share: int) -> None:
    """The first invariant, at every share."""
    traffic = PLAN.traffic(share)

    assert sum(traffic.values()) == 100
    assert all(percent > 0 for percent in traffic.values())


def test_the_baseline_is_the_way_back() -> None:
    """The live deployment is the baseline's, and gets all traffic again."""
    assert PLAN.live == "blue"
    assert PLAN.baseline.traffic == {"blue": 100}


@pytest.mark.parametrize(
    ("traffic", "words"), [({}, "none"), ({"blue": 100}, "blue=100"), ({"green": 10, "blue": 90}, "blue=90 green=10")]
)
def test_traffic_in_words(traffic: dict[str, int], words: str) -> None:
    """The same traffic always reads the same."""
    assert describe(traffic) == words


def test_values_survive_json() -> None:
    """Tasks hand their values on through Prefect; stages stay numbers."""
    decision = Decision.model_validate(
        {"stage": 10, "decision": "approve", "approver": "ann", "at": "2025-01-02T03:04:05Z", "evidence": "e"}
    )
    plan = PLAN.model_copy(update={"approvals": {10: decision}})

    assert Plan.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize("wrong", [{"decision": "maybe"}, {"stage": "ten"}, {"at": "soon"}])
def test_a_decision_is_approve_or_reject(wrong: dict[str, Any]) -> None:
    """Nothing else counts as an answer."""
    right = {"stage": 10, "decision": "approve", "approver": "ann", "at": "2025-01-02T03:04:05Z", "evidence": "e"}

    with pytest.raises(ValidationError):
        Decision.model_validate(right | wrong)


def test_values_do_not_change() -> None:
    """What was decided on is what stands."""
    with pytest.raises(ValidationError, match="frozen"):
        PLAN.candidate = "red"  # type: ignore[misc]
