"""Each thing that somebody else can change, before each step, is found and said in words; an autoscaler's is none."""

from collections.abc import Callable
from typing import Any

import pytest

from saferollout.azure.memory import Memory
from saferollout.azure.workspace import Workspace
from saferollout.config.rollout import OnDrift
from saferollout.domain.errors import AzureFailed, Drifted, GateFailed, SaferolloutError
from saferollout.rollout import drift
from saferollout.rollout.begin import begin
from saferollout.rollout.create import create_candidate
from saferollout.rollout.mirror import mirror_traffic
from saferollout.rollout.put_back import put_back
from saferollout.rollout.record import Record
from saferollout.rollout.retire import end
from saferollout.rollout.rollback import roll_back, roll_back_own
from saferollout.rollout.rollout import Rollout
from saferollout.rollout.scale import scale_candidate, scale_live
from saferollout.rollout.shift import shift_traffic
from saferollout.rollout.verify import verify_traffic
from tests.support.twin import NAME, OWNERS, capacity, deploy, edit, look, make_endpoint, make_project, traffic_of

Step = Callable[[Workspace, Rollout], object]
Change = Callable[[Memory, Rollout], None]

BEGINNING: dict[str, Step] = {"scale live": scale_live, "create": create_candidate}
STEPS: dict[str, Step] = {
    "verify": verify_traffic,
    "mirror": lambda azure, rollout: mirror_traffic(azure, rollout, 10),
    "scale candidate": lambda azure, rollout: scale_candidate(azure, rollout, 100),
    "recheck": drift.require_unchanged,
    "judge": lambda azure, rollout: drift.require_unchanged(azure, rollout, is_settled=False),
    "shift": lambda azure, rollout: shift_traffic(azure, rollout, 100, None),
    "retire": lambda azure, rollout: end(azure, rollout, 0),
}


def move_users(memory: Memory, _: Rollout) -> None:
    """Split the traffic otherwise."""
    edit(memory, traffic={"blue": 30, "green": 70} if len(look(memory).deployments) > 1 else {})


def mirror(memory: Memory, _: Rollout) -> None:
    """Mirror to whoever has no traffic."""
    edit(memory, mirrorTraffic={"green" if "blue" in traffic_of(look(memory)) else "blue": 20})


def delete(memory: Memory, name: str) -> None:
    """Delete a deployment, whatever traffic it has."""
    others = look(memory).deployments.keys() - {name}
    edit(memory, traffic=dict.fromkeys(others, 100), mirrorTraffic={})
    memory.delete_deployment(NAME, name)


def update(memory: Memory, name: str) -> None:
    """Give a deployment another model in place, as `az ml online-deployment update` does: its tags stay."""
    there = look(memory).deployments[name].resource
    deploy(memory, name, 7, capacity(there), there["tags"])


ANY: dict[str, tuple[Change, str]] = {
    "traffic": (move_users, r"the traffic of shop is (.*), but the rollout left it at .*: somebody else changed it"),
    "live gone": (lambda memory, _: delete(memory, "blue"), "deployment blue is gone: somebody else deleted it"),
    "live's model": (
        lambda memory, _: update(memory, "blue"),
        "deployment blue has model model:7, not model:1: somebody else",
    ),
    "live's instances": (
        lambda memory, _: memory.scale_deployment(NAME, "blue", 7),
        "deployment blue has 7 instances, but the rollout left it with 3: somebody else scaled it",
    ),
}
OF_CANDIDATE: dict[str, tuple[Change, str]] = {
    "mirrored traffic": (mirror, "shop mirrors .*=20, which the rollout does not: somebody else changed it"),
    "candidate gone": (lambda memory, _: delete(memory, "green"), "deployment green is gone: somebody else deleted it"),
    "another in its place": (
        lambda memory, _: deploy(memory, "green", 2, 3),
        "deployment green is no longer the one that this rollout made: somebody else deployed it",
    ),
    "candidate's model": (
        lambda memory, _: update(memory, "green"),
        "deployment green has model model:7, not model:2: somebody else",
    ),
    "candidate's instances": (
        lambda memory, _: memory.scale_deployment(NAME, "green", 1),
        "deployment green has 1 instance, but the rollout left it with 3: somebody else scaled it",
    ),
}
CHANGES = ANY | OF_CANDIDATE


@pytest.fixture
def memory() -> Memory:
    """An endpoint with three instances of blue at 100%."""
    return make_endpoint(count=3)


def begun(azure: Workspace, **settings: Any) -> Rollout:
    """A rollout that has its record, and nothing else."""
    rollout = begin(azure, make_project(**settings), OWNERS["ann"], gone=None, begun_before=False)
    assert rollout is not None
    return rollout


def ready_for(step: str, azure: Workspace) -> Rollout:
    """A rollout just before this step."""
    rollout = begun(azure, shadow={"mirror": 10})
    create_candidate(azure, rollout)
    if step in ("scale candidate", "recheck", "judge", "shift"):
        shift_traffic(azure, rollout, 50, None)
    if step == "retire":
        shift_traffic(azure, rollout, 100, None)
    return rollout


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("step", STEPS)
def test_what_somebody_changed_is_found_before_each_step(
    memory: Memory, azure: Workspace, step: str, change: str
) -> None:
    """It is said what was expected and what is there, and nothing is changed."""
    rollout = ready_for(step, azure)
    act, words = CHANGES[change]
    try:
        act(memory, rollout)
    except AzureFailed:
        assert change == "mirrored traffic"  # both have users, and Azure mirrors to neither
        return
    before = look(memory)

    with pytest.raises(Drifted, match=words):
        STEPS[step](azure, rollout)

    assert look(memory) == before


@pytest.mark.parametrize("change", [name for name in ANY if name != "live gone"])
@pytest.mark.parametrize("step", BEGINNING)
def test_what_somebody_changed_is_found_in_the_beginning(
    memory: Memory, azure: Workspace, step: str, change: str
) -> None:
    """Before there is a candidate, whose absence is no change."""
    rollout = begun(azure)
    act, words = ANY[change]
    act(memory, rollout)
    before = look(memory)

    with pytest.raises(Drifted, match=words):
        BEGINNING[step](azure, rollout)

    assert look(memory) == before


def test_each_difference_says_what_was_expected_and_what_is_there(memory: Memory, azure: Workspace) -> None:
    """All of them at once; from the endpoint's tags alone as well."""
    rollout = ready_for("shift", azure)
    edit(memory, traffic={"blue": 100})
    memory.scale_deployment(NAME, "blue", 1)
    update(memory, "green")
    state = azure.get_endpoint(NAME)
    record = Record.from_tags(state.tags)
    assert record is not None

    for found in (drift.differences(state, record, rollout), drift.differences(state, record)):
        assert [(each.what, each.expected, each.found) for each in found] == [
            ("the traffic of shop", "blue=50 green=50", "blue=100"),
            ("the model of green", "model:2", "model:7"),
            ("the instances of blue", "3", "1"),
        ]
        assert [each.is_repairable for each in found] == [True, False, True]


@pytest.mark.parametrize("changes", ["traffic", "mirrored traffic", "live's instances", "candidate's instances"])
@pytest.mark.parametrize("step", ["mirror", "shift", "retire"])
def test_what_can_be_set_again_is_put_back(memory: Memory, azure: Workspace, step: str, changes: str) -> None:
    """The planned split, and the instances that it needs; what somebody added stays. Then the rollout goes on."""
    rollout = ready_for(step, azure)
    planned = traffic_of(look(memory))
    try:
        CHANGES[changes][0](memory, rollout)
    except AzureFailed:
        return  # as above

    put_back(azure, rollout, at_most=planned.get("green", 0))

    assert traffic_of(look(memory)) == planned
    assert look(memory).resource["properties"]["mirrorTraffic"] == {}
    counts = {name: capacity(there.resource) for name, there in look(memory).deployments.items()}
    assert counts == {"blue": 7 if changes == "live's instances" else 3, "green": 3}
    STEPS[step](azure, rollout)


@pytest.mark.parametrize("change", ["candidate gone", "another in its place", "candidate's model", "live's model"])
def test_what_cannot_be_set_again_is_not_touched(memory: Memory, azure: Workspace, change: str) -> None:
    """The rollout has no files of live's, and its candidate's gates have passed another one."""
    rollout = ready_for("shift", azure)
    CHANGES[change][0](memory, rollout)
    before = look(memory)

    with pytest.raises(Drifted) as caught:
        put_back(azure, rollout, at_most=50)

    assert (caught.value.is_repairable, caught.value.is_hopeless) == (False, False)
    assert look(memory) == before


def test_a_share_in_a_tag_that_was_never_reached_is_not_set(memory: Memory, azure: Workspace) -> None:
    """Anybody may write tags; nobody approved that share."""
    rollout = ready_for("shift", azure)
    edit(memory, tags=look(memory).resource["tags"] | {"saferollout.stage": "100"})

    with pytest.raises(Drifted, match="the tags of shop say that the rollout has reached 100%: somebody else changed"):
        put_back(azure, rollout, at_most=50)

    assert traffic_of(look(memory)) == {"blue": 50, "green": 50}


def test_where_live_is_gone_there_is_no_way_back(memory: Memory, azure: Workspace) -> None:
    """Neither is there one for a rollback, which says so, too."""
    rollout = ready_for("shift", azure)
    delete(memory, "blue")

    with pytest.raises(Drifted) as caught:
        drift.require_unchanged(azure, rollout)
    assert caught.value.is_hopeless
    with pytest.raises(SaferolloutError, match=r"deployment blue is gone: rollout .* cannot be rolled back"):
        roll_back(azure, NAME, force=True)


@pytest.mark.parametrize("on_drift", OnDrift)
def test_what_is_to_follow_is_on_record(azure: Workspace, on_drift: OnDrift) -> None:
    """Whoever finds the rollout without its process does the same; so is what live was made of."""
    begun(azure, on_drift=on_drift)

    record = Record.from_tags(azure.get_endpoint(NAME).tags)

    assert record is not None
    assert (record.on_drift, record.live_model) == (on_drift, "model:1")


def test_a_record_of_an_earlier_version_is_compared_as_far_as_it_goes(memory: Memory, azure: Workspace) -> None:
    """It says nothing of what live was made of, nor of instances at the last change."""
    rollout = ready_for("shift", azure)
    later = ("live-model", "live-environment", "live-revision", "instances", "on-drift")
    tags = look(memory).resource["tags"]
    edit(memory, tags={name: value for name, value in tags.items() if name.removeprefix("saferollout.") not in later})
    update(memory, "blue")

    drift.require_unchanged(azure, rollout)
    edit(memory, traffic={"blue": 100})
    with pytest.raises(Drifted):
        drift.require_unchanged(azure, rollout)


@pytest.mark.parametrize("step", ["verify", "shift"])
def test_whoever_takes_a_rollout_over_may_want_more_instances(azure: Workspace, step: str) -> None:
    """Its own scaling is no drift either, whatever config it was begun with."""
    ready_for(step, azure)
    project = make_project(shadow={"mirror": 10}, live={"instance_count": 5})
    taken = begin(azure, project, OWNERS["bob"], gone=OWNERS["ann"], begun_before=False)
    assert taken is not None

    scale_live(azure, taken)
    scale_live(azure, taken)
    create_candidate(azure, taken)

    STEPS[step](azure, taken)


@pytest.mark.parametrize("on_drift", OnDrift)
def test_whoever_finds_a_rollout_without_its_run_leaves_or_overwrites_drift(
    memory: Memory, azure: Workspace, on_drift: OnDrift
) -> None:
    """As its record says, from the tags alone."""
    rollout = begun(azure, on_drift=on_drift)
    create_candidate(azure, rollout)
    shift_traffic(azure, rollout, 50, None)
    state = azure.get_endpoint(NAME)
    assert not drift.left_as_is(azure, state, rollout.own_record(state.tags))
    edit(memory, traffic={"green": 100})
    state = azure.get_endpoint(NAME)
    is_left = drift.left_as_is(azure, state, rollout.own_record(state.tags))

    assert bool(is_left) is (on_drift is OnDrift.STOP)
    if not is_left:
        assert roll_back_own(azure, NAME, lambda owner: owner == OWNERS["ann"])
        assert traffic_of(look(memory)) == {"blue": 100}
        return
    with pytest.raises(Drifted):
        roll_back_own(azure, NAME, lambda owner: owner == OWNERS["ann"])
    assert traffic_of(look(memory)) == {"green": 100}


def test_a_broken_candidate_is_a_failed_gate_and_no_drift(memory: Memory, azure: Workspace) -> None:
    """Nobody changed it."""
    rollout = ready_for("shift", azure)
    memory.fails_next = "before"
    with pytest.raises(AzureFailed):
        memory.scale_deployment(NAME, "green", 3)

    with pytest.raises(GateFailed, match="deployment green is Failed") as caught:
        drift.require_unchanged(azure, rollout)
    assert not isinstance(caught.value, Drifted)
