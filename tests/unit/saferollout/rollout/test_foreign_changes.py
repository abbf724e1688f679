"""What somebody else changes during a rollout: sequences that the state machine found, each as it was shrunk."""

from datetime import UTC, datetime
from typing import Any

import pytest

from saferollout.azure.memory import Memory
from saferollout.azure.workspace import Workspace
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import Drifted, GateFailed
from saferollout.rollout.begin import begin
from saferollout.rollout.create import create_candidate
from saferollout.rollout.mirror import mirror_traffic
from saferollout.rollout.retire import end
from saferollout.rollout.rollback import roll_back
from saferollout.rollout.rollout import Rollout
from saferollout.rollout.scale import scale_candidate
from saferollout.rollout.shift import shift_traffic
from tests.support.twin import NAME, OWNERS, deploy, edit, look, make_project, traffic_of


def begun(azure: Workspace, left: str = "keep") -> Rollout:
    """A rollout of green."""
    project = make_project(rollback={"candidate": left})
    rollout = begin(azure, project, OWNERS["ann"], gone=None, begun_before=False)
    assert rollout is not None
    return rollout


def test_what_somebody_deploys_in_the_candidates_place_is_not_deleted(azure: Workspace, memory: Memory) -> None:
    """Neither to make room for the candidate, nor by a rollback that shall leave no candidate behind."""
    rollout = begun(azure, left="delete")
    deploy(memory, "green", 7)

    with pytest.raises(GateFailed, match="deployment green came up meanwhile and no rollout made it"):
        create_candidate(azure, rollout)
    roll_back(azure, rollout.endpoint)

    assert set(look(memory).deployments) == {"blue", "green"}
    assert azure.get_endpoint(rollout.endpoint).deployments["green"].model == "model:7"


def test_what_the_last_rollout_kept_goes_for_the_next_candidate(azure: Workspace) -> None:
    """Although no rollout made it: by its record it is the one that is kept, not somebody's."""
    rollout = begun(azure)
    create_candidate(azure, rollout)
    shift_traffic(azure, rollout, 100, None)
    end(azure, rollout, 3600)

    following = begin(azure, make_project(3), OWNERS["bob"], gone=None, begun_before=False)
    assert following is not None
    create_candidate(azure, following)

    assert (following.live, following.candidate) == ("green", "blue")
    assert azure.get_endpoint(rollout.endpoint).deployments["blue"].model == "model:3"


def test_copies_for_the_live_deployment_are_no_obstacle_on_the_way_back(azure: Workspace, memory: Memory) -> None:
    """Somebody mirrors traffic to the old deployment once the candidate has all; Azure takes not both for one."""
    rollout = begun(azure)
    create_candidate(azure, rollout)
    shift_traffic(azure, rollout, 100, None)
    edit(memory, mirrorTraffic={"blue": 10})

    roll_back(azure, rollout.endpoint)

    assert traffic_of(look(memory)) == {"blue": 100}
    assert look(memory).resource["properties"]["mirrorTraffic"] == {}


def test_nothing_is_mirrored_to_a_candidate_that_somebody_gave_traffic(azure: Workspace, memory: Memory) -> None:
    """Azure takes not both for one; the failed gate is somebody else's traffic, not Azure."""
    rollout = begun(azure)
    create_candidate(azure, rollout)
    edit(memory, traffic={"blue": 90, "green": 10})

    with pytest.raises(Drifted, match="the traffic of shop is blue=90 green=10, but the rollout left it at blue=100"):
        mirror_traffic(azure, rollout, 10)


def test_nothing_is_mirrored_to_a_candidate_that_is_gone(azure: Workspace, memory: Memory) -> None:
    """Somebody deleted it: a failed gate, too."""
    rollout = begun(azure)
    create_candidate(azure, rollout)
    memory.delete_deployment(rollout.endpoint, "green")

    with pytest.raises(GateFailed, match="deployment green is gone"):
        mirror_traffic(azure, rollout, 10)


def test_another_model_in_the_candidates_place_gets_no_traffic(azure: Workspace, memory: Memory) -> None:
    """Somebody updates the candidate in place, which keeps its tags, after it has passed its gates."""
    rollout = begun(azure)
    create_candidate(azure, rollout)
    deploy(memory, "green", 7, tags=rollout.candidate_tags)

    with pytest.raises(GateFailed, match="deployment green has model model:7, not model:2: somebody else changed it"):
        shift_traffic(azure, rollout, 10, None)

    assert traffic_of(look(memory)) == {"blue": 100}


def approved(rollout: Rollout, azure: Workspace) -> Decision:
    """An approval of the first 10% for the candidate as it is now."""
    return Decision(
        share=10,
        decision="approve",
        approver="ann",
        at=datetime(2026, 1, 2, tzinfo=UTC),
        evidence="e",
        rollout=rollout.id,
        revision=rollout.revision,
        deployment=azure.get_endpoint(rollout.endpoint).deployments["green"].digest,
    )


def test_a_candidate_with_other_code_than_was_approved_gets_no_traffic(azure: Workspace, memory: Memory) -> None:
    """Its tags, model and environment are as before; an autoscaler's instances are no change of it."""
    rollout = begun(azure)
    create_candidate(azure, rollout)
    decision = approved(rollout, azure)
    resource = look(memory).deployments["green"].resource
    code = {"codeConfiguration": {"codeId": "/subscriptions/s/codes/other/versions/1", "scoringScript": "score.py"}}
    memory.put_deployment(NAME, "green", resource | {"properties": resource["properties"] | code})

    with pytest.raises(GateFailed, match="deployment green is no longer what ann approved: somebody else changed"):
        shift_traffic(azure, rollout, 10, decision)
    assert traffic_of(look(memory)) == {"blue": 100}

    memory.put_deployment(NAME, "green", resource | {"sku": {"capacity": 3}})
    shift_traffic(azure, rollout, 10, decision)
    assert traffic_of(look(memory)) == {"blue": 90, "green": 10}


@pytest.mark.parametrize(
    "other", [{"decision": "reject"}, {"share": 100}, {"rollout": "r-2"}, {"revision": "0" * 12}], ids=str
)
def test_a_decision_about_something_else_gives_no_traffic(
    azure: Workspace, memory: Memory, other: dict[str, Any]
) -> None:
    """Whatever it approves, it is not this change."""
    rollout = begun(azure)
    create_candidate(azure, rollout)
    decision = approved(rollout, azure).model_copy(update=other)

    with pytest.raises(GateFailed, match="the decision of ann does not approve 10% for this rollout's green"):
        shift_traffic(azure, rollout, 10, decision)
    assert traffic_of(look(memory)) == {"blue": 100}


def test_a_live_deployment_that_is_gone_is_a_failed_gate(azure: Workspace, memory: Memory) -> None:
    """Somebody gave the candidate all traffic by hand and deleted the old deployment."""
    rollout = begun(azure)
    create_candidate(azure, rollout)
    edit(memory, traffic={"green": 100})
    memory.delete_deployment(rollout.endpoint, "blue")

    with pytest.raises(GateFailed, match="deployment blue is gone: somebody else deleted it"):
        scale_candidate(azure, rollout, 50)
