"""A plan says what a rollout would do, or why it would not; nothing is changed by it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from saferollout.azure.memory import Memory
from saferollout.azure.workspace import Workspace
from saferollout.domain.errors import Refused, Taken
from saferollout.rollout.begin import begin
from saferollout.rollout.hold import Hold
from saferollout.rollout.plan import Plan, make_plan
from tests.support.twin import OWNERS, deploy, edit, look, make_project

NOW = datetime(2026, 12, 24, 12, tzinfo=UTC)


def planned(memory: Memory, version: int = 2, **settings: Any) -> Plan:
    """The plan for a version; the endpoint is as it was."""
    before = look(memory)
    found = make_plan(Workspace(memory), make_project(version, **settings), OWNERS["ann"], NOW)
    assert look(memory) == before
    return found


def test_the_steps_are_those_of_the_config(memory: Memory) -> None:
    """In their order, with who is asked, and what stops a shift."""
    stages = [{"traffic": 10}, {"traffic": 50, "approval": False}, {"traffic": 100, "auto": "healthy"}]
    more: dict[str, Any] = {"live": {"instance_count": 3}, "shadow": {"mirror": 20}, "retire": {"keep_s": 7200}}
    freeze = [{"from": "2026-12-24", "to": "2026-12-26", "timezone": "UTC"}]

    found = planned(memory, stages=stages, freeze=freeze, **more)

    assert (found.outcome, found.live, found.candidate, found.model) == ("planned", "blue", "green", "azureml:model:2")
    assert found.reason == "model:2 would take over from model:1, as green"
    assert found.steps == [
        "Scale blue from 1 to 3 instances.",
        "Create green with model:2 at 0% of the traffic.",
        "Smoke test: 0 of 0 recorded requests.",
        "Mirror 20% of the traffic, and judge for 1 min 0 s at least.",
        "10% of the traffic: a person approves, within 24 h 0 min; judge for 1 min 0 s at least.",
        "50% of the traffic: nobody is asked; judge for 1 min 0 s at least.",
        (
            "100% of the traffic: without a question if the last verdict is healthy, else a person approves, within "
            "24 h 0 min; judge for 1 min 0 s at least."
        ),
        "Keep blue at 0% for 2 h 0 min, then delete it.",
        "No shift from 2026-12-24 00:00:00 UTC until 2026-12-27 00:00:00 UTC (from 2026-12-24 to 2026-12-26 UTC).",
    ]
    assert found.report.startswith("# 📋 Plan: shop\n\n**model:2 would take over")
    assert "\n2. Create green with model:2 at 0% of the traffic" in found.report


def test_what_is_there_is_replaced(memory: Memory) -> None:
    """A candidate that an earlier rollout has left makes room."""
    deploy(memory, "green", 3, tags={"saferollout.rollout": "earlier"})
    assert "Replace green with model:2 at 0% of the traffic, in the place of what is there." in planned(memory).steps


def test_there_may_be_nothing_to_do(memory: Memory) -> None:
    """Where the revision is live, or is being rolled out."""
    rolled = begin(Workspace(memory), make_project(), OWNERS["ann"], gone=None, begun_before=False)
    assert rolled
    found = planned(memory)
    assert (found.outcome, found.steps) == ("nothing_to_do", [])
    assert found.reason == "model:2 is being rolled out already, by ann@laptop"
    with pytest.raises(Taken, match="ann@laptop"):
        planned(memory, 3)

    edit(memory, tags={})
    deploy(memory, "blue", 2, tags={"saferollout.revision": make_project().revision})
    found = planned(memory)
    assert (found.outcome, found.reason) == ("nothing_to_do", "blue is this revision already")
    assert found.report == "# ✅ Nothing to do: shop\n\n**blue is this revision already**"


def test_what_would_be_refused_is_refused(memory: Memory) -> None:
    """With the reason: a held revision, or traffic that no rollout starts from."""
    edit(memory, tags=Hold.of(make_project().revision, "model:2", "harm").to_tags())
    with pytest.raises(Refused, match=r"is held since .* harm; `saferollout release shop"):
        planned(memory)
    assert planned(memory, 3).outcome == "planned"
    deploy(memory, "green", 3)
    edit(memory, traffic={"blue": 90, "green": 10})
    with pytest.raises(Refused, match="a rollout starts where one deployment has all of it"):
        planned(memory, 3)
