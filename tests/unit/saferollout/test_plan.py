"""The plan of a rollout, and its record as long as the rollout is its own."""

from pathlib import Path
from typing import Any

import pytest

from saferollout import project
from saferollout.domain import Baseline, Decision
from saferollout.errors import Lost
from saferollout.plan import Plan
from saferollout.record import Owner, Phase, Record, now


@pytest.fixture
def record(project_files: Path) -> Record:
    """The record of a rollout that has just begun."""
    revision = project.load(project_files / "rollout.yaml").revision
    since = now().replace(microsecond=0)
    return Record(rollout="r-1", owner=Owner(name="ann@laptop", flow_run="run-1"), since=since, candidate="green",
                  revision=revision, baseline=Baseline(live="blue", instance_count=2))  # fmt: skip


@pytest.fixture
def plan(record: Record) -> Plan:
    """The plan that belongs to the record."""
    return Plan.of(project.load("rollout.yaml"), record)


def test_traffic_sums_to_100_at_every_share(plan: Plan) -> None:
    """The first invariant; a deployment without traffic is not named: Azure would show it no differently."""
    assert (plan.traffic(0), plan.traffic(100)) == ({"blue": 100}, {"green": 100})
    for share in range(101):
        traffic = plan.traffic(share)
        assert sum(traffic.values()) == 100
        assert all(percent > 0 for percent in traffic.values())


def test_a_plan_survives_json(plan: Plan) -> None:
    """Tasks hand it on through Prefect, whole: the project, its paths, and stages that stay numbers."""
    decision = Decision.model_validate(
        {"stage": 10, "decision": "approve", "approver": "ann", "at": "2025-01-02T03:04:05Z", "evidence": "e"}
    )
    decided = plan.model_copy(update={"approvals": {10: decision}})

    assert Plan.model_validate_json(decided.model_dump_json()) == decided


def test_live_never_gets_fewer_instances(project_files: Path, record: Record) -> None:
    """A config that asks for less than there is would take instances from users."""
    config = project_files / "rollout.yaml"
    counts = []
    for wanted in (1, 5):
        config.write_text(f"{config.read_text()}live: {{instance_count: {wanted}}}\n")
        counts.append(Plan.of(project.load(config), record).live_instance_count)
        config.write_text(config.read_text().replace(f"live: {{instance_count: {wanted}}}\n", ""))

    assert counts == [2, 5]


def test_own_record_is_advanced_and_other_tags_stay(plan: Plan, record: Record) -> None:
    """A step changes the record that it finds, and nothing else."""
    tags = plan.advanced({"team": "a"} | record.to_tags(), stage=10)

    assert Record.from_tags(tags) == record.model_copy(update={"stage": 10})
    assert tags["team"] == "a"


@pytest.mark.parametrize(
    "change",
    [
        {"rollout": "r-2"},
        {"phase": Phase.UNDOING},
        {"phase": Phase.KEEPING},
        {"owner": Owner(name="ann@laptop", flow_run="run-2")},
    ],
    ids=["replaced", "undone", "ended", "taken over"],
)
def test_record_of_somebody_else_is_left_alone(plan: Plan, record: Record, change: dict[str, Any]) -> None:
    """A run whose rollout was undone, replaced or taken over changes nothing any more."""
    with pytest.raises(Lost, match="rollout r-1 of diabetes was undone or replaced meanwhile"):
        plan.advanced(record.model_copy(update=change).to_tags(), stage=10)
    with pytest.raises(Lost):
        plan.own_record({})
