"""Users always meet a deployment that can carry them, and none is deleted while it may still have some."""

import time
from datetime import timedelta

import pytest

from saferollout.azure.memory import Memory
from saferollout.azure.workspace import Workspace
from saferollout.config.rollout import LeftCandidate
from saferollout.rollout.begin import begin
from saferollout.rollout.create import create_candidate
from saferollout.rollout.record import Record, now
from saferollout.rollout.retire import end, retire
from saferollout.rollout.rollback import roll_back
from saferollout.rollout.rollout import Rollout
from saferollout.rollout.shift import shift_traffic
from tests.support.twin import NAME, OWNERS, capacity, edit, look, make_endpoint, make_project, traffic_of

ANN = OWNERS["ann"]


@pytest.fixture
def memory() -> Memory:
    """An endpoint with blue at 100% on four instances."""
    return make_endpoint(count=4)


@pytest.fixture
def azure(memory: Memory) -> Workspace:
    """It, as a rollout sees it."""
    return Workspace(memory)


@pytest.fixture
def slept(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, list[str]]]:
    """How long was waited for users, and with which deployments: an hour is not waited for here."""
    monkeypatch.setattr(memory, "drain_s", 60.0)
    pauses: list[tuple[float, list[str]]] = []
    monkeypatch.setattr(time, "sleep", lambda wait_s: pauses.append((wait_s, sorted(look(memory).deployments))))
    return pauses


def reach(azure: Workspace, share: int, left: LeftCandidate = LeftCandidate.KEEP) -> Rollout:
    """A rollout whose candidate has got this share."""
    rollout = begin(azure, make_project(rollback={"candidate": left}), ANN, gone=None, begun_before=False)
    assert rollout is not None
    create_candidate(azure, rollout)
    if share:
        shift_traffic(azure, rollout, share, None)
    return rollout


def note_changes(memory: Memory) -> list[tuple[dict[str, int], int]]:
    """From now on, after each change: the traffic, and how many instances blue has."""
    seen: list[tuple[dict[str, int], int]] = []
    memory.changed = lambda: seen.append(
        (traffic_of(look(memory)), capacity(look(memory).deployments["blue"].resource))
    )
    return seen


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("share", [10, 100])
def test_live_has_its_instances_before_its_users(memory: Memory, azure: Workspace, share: int, force: bool) -> None:
    """An autoscaler scaled it in while the candidate had its share."""
    rollout = reach(azure, share)
    memory.scale_deployment(NAME, "blue", 1)
    seen = note_changes(memory)

    roll_back(azure, NAME, force=force)

    assert seen == [(rollout.traffic(share), 1), (rollout.traffic(share), 4), *[({"blue": 100}, 4)] * 2]


def test_somebody_elses_traffic_waits_for_the_instances_too(memory: Memory, azure: Workspace) -> None:
    """A person insists on the way back although the traffic was changed: it is not changed before live can carry it."""
    reach(azure, 10)
    edit(memory, traffic={"blue": 40, "green": 60})
    memory.scale_deployment(NAME, "blue", 2)
    seen = note_changes(memory)

    roll_back(azure, NAME, force=True)

    assert seen == [({"blue": 40, "green": 60}, 2), ({"blue": 40, "green": 60}, 4), *[({"blue": 100}, 4)] * 2]


def test_the_kept_deployment_is_back_in_one_change(memory: Memory, azure: Workspace) -> None:
    """Within its keep window all users go over at once; nothing is created or scaled before."""
    rollout = reach(azure, 100)
    end(azure, rollout, keep_s=3600)
    seen = note_changes(memory)

    roll_back(azure, NAME)

    assert seen == [({"blue": 100}, 4)] * 2, "the traffic, and then the record that goes"
    assert Record.from_tags(look(memory).resource["tags"]) is None


def test_a_kept_deployment_that_was_scaled_in_grows_first(memory: Memory, azure: Workspace) -> None:
    """An autoscaler sees that nobody uses it."""
    rollout = reach(azure, 100)
    end(azure, rollout, keep_s=3600)
    memory.scale_deployment(NAME, "blue", 1)
    seen = note_changes(memory)

    roll_back(azure, NAME)

    assert seen == [({"green": 100}, 1), ({"green": 100}, 4), *[({"blue": 100}, 4)] * 2]


Pauses = list[tuple[float, list[str]]]


@pytest.mark.parametrize(("share", "pauses"), [(10, [(60.0, ["blue", "green"])]), (0, [])])
def test_a_candidate_drains_before_it_is_deleted(
    memory: Memory, azure: Workspace, slept: Pauses, share: int, pauses: Pauses
) -> None:
    """Without recorded requests nobody can ask whether users are off it; one that never had any goes at once."""
    reach(azure, share, LeftCandidate.DELETE)

    roll_back(azure, NAME)

    assert slept == pauses
    assert list(look(memory).deployments) == ["blue"]


def test_an_old_deployment_drains_before_it_is_deleted(memory: Memory, azure: Workspace, slept: Pauses) -> None:
    """It may have users until the change to 100% has reached every gateway."""
    end(azure, reach(azure, 100), keep_s=0)

    (pause,) = slept
    assert 55 < pause[0] <= 60
    assert pause[1] == ["blue", "green"]
    assert list(look(memory).deployments) == ["green"]


def test_what_was_kept_has_no_users_left(memory: Memory, azure: Workspace, slept: Pauses) -> None:
    """Its window ended more than a minute ago: it goes at once; before its end, on request, it is waited for."""
    end(azure, reach(azure, 100), keep_s=3600)
    record = Record.from_tags(look(memory).resource["tags"])
    assert record is not None
    over = record.model_copy(update={"keep_until": now() - timedelta(minutes=2)})
    kept = look(memory)

    edit(memory, tags=dict(kept.resource["tags"]) | over.to_tags())
    assert retire(azure, NAME) == "blue of shop deleted"
    assert slept == []


def test_what_is_to_go_before_its_time_is_waited_for(azure: Workspace, slept: Pauses) -> None:
    """Nobody has recorded when its users left."""
    end(azure, reach(azure, 100), keep_s=3600)
    assert slept == []

    retire(azure, NAME, at_once=True)

    assert slept == [(60.0, ["blue", "green"])]
