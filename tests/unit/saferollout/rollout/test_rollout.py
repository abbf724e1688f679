"""The rollout of a rollout, and its record as long as the rollout is its own."""

from pathlib import Path
from typing import Any

import pytest

from saferollout.config import project
from saferollout.domain.endpoint import Baseline, Decision
from saferollout.domain.errors import Lost, Superseded
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import Phase, Record, now
from saferollout.rollout.rollout import Rollout


@pytest.fixture
def record(project_files: Path) -> Record:
    """The record of a rollout that has just begun."""
    revision = project.load(project_files / "rollout.yaml").revision
    since = now().replace(microsecond=0)
    return Record(
        rollout="r-1",
        owner=Owner(name="ann@laptop", flow_run="run-1"),
        since=since,
        candidate="green",
        revision=revision,
        baseline=Baseline(live="blue", instance_count=2),
    )


@pytest.fixture
def rollout(record: Record) -> Rollout:
    """The rollout that belongs to the record."""
    return Rollout.of(project.load("rollout.yaml"), record)


def test_traffic_sums_to_100_at_every_share(rollout: Rollout) -> None:
    """The first invariant; a deployment without traffic is not named: Azure would show it no differently."""
    assert (rollout.traffic(0), rollout.traffic(100)) == ({"blue": 100}, {"green": 100})
    for share in range(101):
        traffic = rollout.traffic(share)
        assert sum(traffic.values()) == 100
        assert all(percent > 0 for percent in traffic.values())


def test_a_plan_survives_json(rollout: Rollout) -> None:
    """Tasks hand it on through Prefect, whole: the project, its paths, and stages that stay numbers."""
    decision = Decision.model_validate(
        {"stage": 10, "decision": "approve", "approver": "ann", "at": "2025-01-02T03:04:05Z", "evidence": "e"}
    )
    decided = rollout.model_copy(update={"approvals": {10: decision}})

    assert Rollout.model_validate_json(decided.model_dump_json()) == decided


def test_live_never_gets_fewer_instances(project_files: Path, record: Record) -> None:
    """A config that asks for less than there is would take instances from users."""
    config = project_files / "rollout.yaml"
    counts = []
    for wanted in (1, 5):
        config.write_text(f"{config.read_text()}live: {{instance_count: {wanted}}}\n")
        counts.append(Rollout.of(project.load(config), record).live_instance_count)
        config.write_text(config.read_text().replace(f"live: {{instance_count: {wanted}}}\n", ""))

    assert counts == [2, 5]


def test_own_record_is_advanced_and_other_tags_stay(rollout: Rollout, record: Record) -> None:
    """A step changes the record that it finds, and nothing else."""
    tags = rollout.advanced({"team": "a"} | record.to_tags(), share=10)

    assert Record.from_tags(tags) == record.model_copy(update={"share": 10})
    assert tags["team"] == "a"


@pytest.mark.parametrize(
    "change",
    [
        {"rollout": "r-2"},
        {"phase": Phase.ROLLING_BACK},
        {"phase": Phase.KEEPING},
        {"owner": Owner(name="ann@laptop", flow_run="run-2")},
    ],
    ids=["replaced", "rolled back", "ended", "taken over"],
)
def test_record_of_somebody_else_is_left_alone(rollout: Rollout, record: Record, change: dict[str, Any]) -> None:
    """A run whose rollout was rolled back, replaced or taken over changes nothing more."""
    with pytest.raises(Lost, match="rollout r-1 of diabetes was rolled back or replaced meanwhile"):
        rollout.advanced(record.model_copy(update=change).to_tags(), share=10)
    with pytest.raises(Lost):
        rollout.own_record({})


def test_record_of_a_run_that_began_again_is_another_processs(rollout: Rollout, record: Record) -> None:
    """A process that was taken for dead changes nothing more, and is told apart from one whose rollout is gone."""
    with pytest.raises(Superseded, match="another process goes on with rollout r-1 of diabetes"):
        rollout.own_record(record.model_copy(update={"resumes": rollout.resumes + 1}).to_tags())


@pytest.mark.parametrize(
    ("written", "share", "live", "needed"),
    [
        ("", 100, 2, 2),
        ("", 100, 4, 4),
        ("", 100, 1, 2),
        ("", 50, 5, 3),
        ("", 10, 2, 1),
        ("candidate: {instance_count: 1}\n", 100, 4, 1),
        ("candidate: {instance_count: 6}\n", 100, 4, 6),
    ],
    ids=["as live", "live grew", "live shrank", "half", "a tenth", "fewer by config", "more by config"],
)
def test_candidate_has_what_its_share_needs(
    project_files: Path, record: Record, written: str, share: int, live: int, needed: int
) -> None:
    """All traffic needs live's instances of now or of the baseline, 2; fewer only by config, with a warning."""
    config = project_files / "rollout.yaml"
    config.write_text(config.read_text() + written)

    rollout = Rollout.of(project.load(config), record)

    assert rollout.candidate_instance_count(share, live) == needed
    assert bool(rollout.few_instances(1, live)) == (needed < live and share == 100)
