"""Somebody else changes the candidate in place: it has to pass every gate again, and nothing old counts for it."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from saferollout.azure.memory import Memory
from saferollout.azure.workspace import Workspace
from saferollout.config.rollout import OnDrift
from saferollout.domain.composition import Composition
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import AzureFailed, Changed, Drifted, GateFailed, Lost
from saferollout.rollout import drift
from saferollout.rollout.anew import MAX_CHANGES, begin_anew, is_changed
from saferollout.rollout.begin import begin
from saferollout.rollout.create import create_candidate
from saferollout.rollout.hold import Hold
from saferollout.rollout.mirror import mirror_traffic
from saferollout.rollout.question import note_question
from saferollout.rollout.record import Record
from saferollout.rollout.retire import end
from saferollout.rollout.rollback import roll_back
from saferollout.rollout.rollout import Rollout
from saferollout.rollout.scale import scale_candidate, scale_live
from saferollout.rollout.shift import shift_traffic
from saferollout.rollout.verify import verify_traffic
from tests.support.twin import NAME, OWNERS, SIZE, deploy, edit, look, make_endpoint, make_project, traffic_of

AT = datetime(2026, 1, 2, tzinfo=UTC)
CODE = {"codeId": "/subscriptions/s/codes/other/versions/1", "scoringScript": "score.py"}
CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "model": ({"model": "/subscriptions/s/…/models/model/versions/7"}, "model model:2 → model:7, "),
    "code": ({"codeConfiguration": CODE}, "code none → other:1, settings none → "),
    "environment": ({"environmentId": "azureml:env:3"}, "environment none → env:3, "),
    "size": ({"instanceType": "Standard_F4s_v2"}, "instance type Standard_DS3_v2 → Standard_F4s_v2, "),
    "variables": ({"environmentVariables": {"LIMIT": "s3cret"}}, "settings none → "),
    "requests": ({"requestSettings": {"maxConcurrentRequestsPerInstance": 9}}, "settings none → "),
    "probe": ({"readinessProbe": {"period": "PT5S"}}, "settings none → "),
}
STEPS: dict[str, Callable[[Workspace, Rollout], object]] = {
    "verify": verify_traffic,
    "mirror": lambda azure, rollout: mirror_traffic(azure, rollout, 10),
    "scale candidate": lambda azure, rollout: scale_candidate(azure, rollout, 10),
    "recheck": drift.require_unchanged,
    "shift": lambda azure, rollout: shift_traffic(azure, rollout, 10, None),
}


@pytest.fixture
def memory() -> Memory:
    """An endpoint with three instances of blue at 100%."""
    return make_endpoint(count=3)


def smoke_tested(azure: Workspace, **settings: Any) -> Rollout:
    """A rollout whose candidate has passed its smoke test."""
    rollout = begin(azure, make_project(**settings), OWNERS["ann"], gone=None, begun_before=False)
    assert rollout is not None
    create_candidate(azure, rollout)
    return as_tested(azure, rollout)


def as_tested(azure: Workspace, rollout: Rollout) -> Rollout:
    """The rollout after another smoke test."""
    green = drift.require_unchanged(azure, rollout).deployments["green"]
    return rollout.model_copy(update={"made_of": Composition.of(green)})


def change(memory: Memory, version: int = 7, **properties: Any) -> None:
    """Change the candidate in place, as `az ml online-deployment update` does: its tags and instances stay."""
    there = look(memory).deployments["green"].resource
    properties = properties or {"model": f"/subscriptions/s/…/models/model/versions/{version}"}
    memory.put_deployment(NAME, "green", there | {"properties": there["properties"] | properties})


def record_of(azure: Workspace) -> Record:
    """The endpoint's record."""
    record = Record.from_tags(azure.get_endpoint(NAME).tags)
    assert record is not None
    return record


def approval(azure: Workspace, rollout: Rollout, share: int) -> Decision:
    """An approval of the candidate as it is now."""
    return Decision(
        share=share,
        decision="approve",
        approver="ann",
        at=AT,
        evidence="e",
        rollout=rollout.id,
        revision=rollout.revision,
        deployment=azure.get_endpoint(NAME).deployments["green"].digest,
    )


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_is_changed_of_the_candidate_is_found_and_said(memory: Memory, azure: Workspace, what: str) -> None:
    """Old → new, without what may be a secret; by who knows the tags alone, too. A change of its instances is none."""
    rollout = smoke_tested(azure)
    note_question(azure, rollout, rollout.project.config.stages[0])
    properties, words = CHANGES[what]
    change(memory, **properties)
    state = azure.get_endpoint(NAME)

    for known in (rollout, None):
        (found,) = drift.differences(state, record_of(azure), known)
        assert found.words.startswith(
            "deployment green is no longer what was tested: somebody else changed it (" + words
        )
        assert "s3cret" not in found.words
        assert found.is_change
    assert f"composition {found.expected} → {found.found})" in found.words
    assert not drift.left_as_is(azure, state, record_of(azure))


@pytest.mark.parametrize("step", STEPS)
def test_no_step_goes_on_with_what_was_not_tested(memory: Memory, azure: Workspace, step: str) -> None:
    """Its code alone is another, which the plan says nothing of; nothing is changed."""
    rollout = smoke_tested(azure, shadow={"mirror": 10})
    change(memory, codeConfiguration=CODE)
    before = look(memory)

    with pytest.raises(Changed, match="deployment green is no longer what was tested"):
        STEPS[step](azure, rollout)

    assert look(memory) == before


def test_while_its_question_is_open_the_steps_before_it_leave_a_change_to_it(memory: Memory, azure: Workspace) -> None:
    """A run that begins again comes to the answer, which is refused there, or is a rejection; the shift says no."""
    rollout = smoke_tested(azure)
    shift_traffic(azure, rollout, 10, None)
    rollout = rollout.model_copy(update={"share": 10})
    note_question(azure, rollout, rollout.project.config.stages[1])
    change(memory)

    scale_live(azure, rollout)
    create_candidate(azure, rollout)
    verify_traffic(azure, rollout)
    shift_traffic(azure, rollout, 10, None)
    with pytest.raises(Changed):
        shift_traffic(azure, rollout, 50, None)
    edit(memory, traffic={"blue": 40, "green": 60})
    with pytest.raises(Drifted, match="the traffic of shop is") as caught:
        verify_traffic(azure, rollout)

    assert not isinstance(caught.value, Changed)


@pytest.mark.parametrize("share", [0, 10, 100])
def test_a_changed_candidate_begins_without_users(memory: Memory, azure: Workspace, share: int) -> None:
    """Users, mirrored requests and approvals are gone in one change; to do it again changes nothing."""
    rollout = smoke_tested(azure)
    if share:
        shift_traffic(azure, rollout, share, approval(azure, rollout, share))
    else:
        edit(memory, mirrorTraffic={"green": 10})
        rollout = rollout.model_copy(update={"project": make_project(shadow={"mirror": 10})})
    note_question(azure, rollout, rollout.project.config.stages[0])
    was = rollout.made_of
    change(memory)
    traffic = []
    memory.changed = lambda: traffic.append(traffic_of(look(memory)))

    begun = begin_anew(azure, rollout)

    assert begin_anew(azure, rollout) == begun
    assert traffic == [{"blue": 100}]
    assert look(memory).resource["properties"]["mirrorTraffic"] == {}
    record = record_of(azure)
    assert (record.share, record.approvals, record.asks, record.changes) == (0, {}, None, 1)
    assert (record.made_of, record.changed_from) == (begun.made_of, was)
    assert (begun.share, begun.approvals, begun.changes) == (0, {}, 1)
    assert "Somebody else changed green: model model:2 → model:7, composition" in begun.change
    verify_traffic(azure, begun)
    shift_traffic(azure, begun, 100, approval(azure, begun, 100))
    end(azure, begun, 0)
    assert traffic_of(look(memory)) == {"green": 100}


def test_an_approval_of_what_it_was_gives_no_traffic(memory: Memory, azure: Workspace) -> None:
    """What an earlier version bound an approval to, before the rollout's worker was updated, still counts."""
    rollout = smoke_tested(azure)
    decision = approval(azure, rollout, 10)
    change(memory, environmentVariables={"LIMIT": "3"})
    begun = begin_anew(azure, rollout)

    with pytest.raises(Changed, match="green is no longer what ann approved"):
        shift_traffic(azure, begun, 10, decision)

    earlier = hashlib.sha256(json.dumps(["model:2", "", "", SIZE.name]).encode()).hexdigest()[:12]
    shift_traffic(azure, begun, 10, decision.model_copy(update={"deployment": earlier}))
    assert traffic_of(look(memory)) == {"blue": 90, "green": 10}


def test_changed_again_and_again(memory: Memory, azure: Workspace) -> None:
    """Each time it begins anew, from what was tested last; whoever goes on doing so is a person's matter."""
    rollout = smoke_tested(azure)
    for number in range(1, MAX_CHANGES + 1):
        change(memory, version=7 + number)
        rollout = begin_anew(azure, rollout)
        assert rollout.changes == number
        rollout = as_tested(azure, rollout)
    assert "model model:11 → model:12" in rollout.change
    change(memory, version=99)

    with pytest.raises(Drifted, match="changed deployment green 6 times") as caught:
        begin_anew(azure, rollout)

    assert (isinstance(caught.value, Changed), caught.value.is_repairable) == (False, False)


def test_a_change_back_is_one_too(memory: Memory, azure: Workspace) -> None:
    """What was approved of the same composition before was on other evidence: it is no longer on record."""
    rollout = smoke_tested(azure)
    note_question(azure, rollout, rollout.project.config.stages[0])
    change(memory)
    changed = as_tested(azure, begin_anew(azure, rollout))
    change(memory, version=2)

    begun = begin_anew(azure, changed)

    assert (begun.changes, begun.made_of) == (2, rollout.made_of)


@pytest.mark.parametrize("more", ["traffic", "live", "gone"])
def test_what_else_was_changed_is_drift(memory: Memory, azure: Workspace, more: str) -> None:
    """As it is without a change of the candidate: a person is asked, and nothing is touched."""
    rollout = smoke_tested(azure)
    shift_traffic(azure, rollout, 10, None)
    change(memory)
    if more == "traffic":
        edit(memory, traffic={"blue": 30, "green": 70})
    elif more == "live":
        deploy(memory, "blue", 9, 3)
    else:
        edit(memory, traffic={"blue": 100})
        memory.delete_deployment(NAME, "green")
    before = look(memory)

    with pytest.raises(Drifted) as caught:
        begin_anew(azure, rollout)

    assert not isinstance(caught.value, Changed)
    assert look(memory) == before


def test_what_is_held_gets_no_users_under_another_name(memory: Memory, azure: Workspace) -> None:
    """The candidate is changed into what was rolled back for harm; once that is released it is tested as any other."""
    held = smoke_tested(azure)
    roll_back(azure, NAME, hold=Hold.of(held.revision, "model:2", "harm"))
    rollout = begin(azure, make_project(3), OWNERS["bob"], gone=None, begun_before=False)
    assert rollout is not None
    create_candidate(azure, rollout)
    rollout = as_tested(azure, rollout)
    change(memory, version=2)

    with pytest.raises(GateFailed, match=r"changed deployment green into what is held: model:2 .*: harm"):
        begin_anew(azure, rollout)
    tags = look(memory).resource["tags"]
    hold = Hold.from_tags(tags)
    assert hold is not None
    edit(memory, tags=tags | hold.model_copy(update={"released_by": "eve"}).to_tags())

    assert begin_anew(azure, rollout).changes == 1


def test_a_candidate_that_does_not_come_up_again_is_rolled_back(memory: Memory, azure: Workspace) -> None:
    """A failed gate: nothing is tested."""
    rollout = smoke_tested(azure)
    memory.fails_next = "after"
    with pytest.raises(AzureFailed):
        change(memory)

    with pytest.raises(GateFailed, match="deployment green is Failed since somebody else changed it"):
        begin_anew(azure, rollout)


def test_whoever_resumes_goes_on_by_the_record(memory: Memory, azure: Workspace) -> None:
    """Killed right after the change was taken, or before: another process knows what was tested, and what not."""
    rollout = smoke_tested(azure)
    shift_traffic(azure, rollout, 10, approval(azure, rollout, 10))
    change(memory)
    resumed = begin(azure, make_project(), OWNERS["bob"], gone=OWNERS["ann"], begun_before=False)
    assert resumed is not None
    with pytest.raises(Changed):
        verify_traffic(azure, resumed)
    with pytest.raises(Lost):
        begin_anew(azure, rollout)
    begun = begin_anew(azure, resumed)

    again = begin(azure, make_project(), OWNERS["eve"], gone=OWNERS["bob"], begun_before=False)

    assert again is not None
    assert (again.changes, again.share, again.approvals, again.change) == (1, 0, {}, begun.change)
    verify_traffic(azure, again)


@pytest.mark.parametrize("on_drift", OnDrift)
def test_without_its_run_a_changed_candidate_is_rolled_back(
    memory: Memory, azure: Workspace, on_drift: OnDrift
) -> None:
    """It gets no users by being left to a person, who has not answered in time."""
    rollout = smoke_tested(azure, on_drift=on_drift)
    shift_traffic(azure, rollout, 10, None)
    change(memory)

    assert not drift.left_as_is(azure, azure.get_endpoint(NAME), record_of(azure))
    roll_back(azure, NAME)

    assert traffic_of(look(memory)) == {"blue": 100}


def test_what_azure_shows_while_it_works_is_no_change(memory: Memory, azure: Workspace) -> None:
    """Then it may not show all of the candidate; when it has ended, what is there is compared."""
    rollout = smoke_tested(azure)
    change(memory, provisioningState="Updating", instanceType=None)
    state = azure.get_endpoint(NAME)
    working = state.deployments["green"].model_copy(update={"provisioning_state": "Updating"})
    shown = state.model_copy(update={"deployments": state.deployments | {"green": working}})
    assert drift.differences(shown, record_of(azure), rollout) == []
    assert is_changed(azure, rollout)

    change(memory, instanceType=SIZE.name)
    assert not is_changed(azure, rollout)


def test_a_tag_that_somebody_wrote_is_like_nothing() -> None:
    """Too short, too long, or empty: what is there is then found to be changed."""
    made_of = Composition(
        digest="0123456789ab", model="m" * 40, code="c" * 40, environment="e" * 40, settings="01234567"
    )
    assert Composition.from_tag(made_of.to_tag()) == made_of
    assert len(made_of.to_tag()) < 256
    for text in ("?", "|", "a|b|c|d|e|f|g|h"):
        assert Composition.from_tag(text).digest != made_of.digest
