"""A change of the endpoint that is still under way: Azure shows the old traffic until its end, a late read longer.

Whether the old or the new tags are shown meanwhile is not known, so both must do.
"""

import copy

import pytest

from saferollout.azure.memory import Memory
from saferollout.azure.workspace import Workspace
from saferollout.domain.errors import Drifted, Refused
from saferollout.rollout.begin import begin
from saferollout.rollout.create import create_candidate
from saferollout.rollout.mirror import mirror_traffic
from saferollout.rollout.record import Phase, Record
from saferollout.rollout.retire import end, retire
from saferollout.rollout.rollback import put_traffic_back, roll_back, roll_back_own
from saferollout.rollout.rollout import Rollout
from saferollout.rollout.shift import shift_traffic
from saferollout.rollout.verify import verify_traffic
from tests.support.twin import (
    NAME,
    OWNERS,
    capacity,
    deploy,
    edit,
    look,
    make_project,
    traffic_of,
)

pytestmark = pytest.mark.slow  # each waits for a change

READS = 2
ANN, BOB = OWNERS["ann"], OWNERS["bob"]
either_tags = pytest.mark.parametrize("tags", ["old", "new"])


def created(azure: Workspace) -> Rollout:
    """A rollout of green, whose candidate is there."""
    rollout = begin(azure, make_project(), ANN, gone=None, begun_before=False)
    assert rollout is not None
    create_candidate(azure, rollout)
    return rollout


def under_way(memory: Memory, before: dict[str, object], tags: str) -> None:
    """Let the endpoint's last change, from what it was before, go on for some reads."""
    shown = copy.deepcopy(before) | ({"tags": look(memory).resource["tags"]} if tags == "new" else {})
    memory.hold(NAME, reads=READS, shown=shown)


def killed_in_its_shift(memory: Memory, azure: Workspace, tags: str) -> Rollout:
    """A rollout whose process has been killed while the candidate gets its first 10%."""
    rollout, before = created(azure), look(memory).resource
    shift_traffic(azure, rollout, 10, None)
    under_way(memory, before, tags)
    return rollout


@either_tags
@pytest.mark.parametrize("owner", [ANN, BOB], ids=["the same run", "another run"])
def test_a_rollout_is_resumed_during_its_shift(memory: Memory, azure: Workspace, tags: str, owner: object) -> None:
    """Whoever goes on knows the share that is on its way, and does not take it for somebody else's change."""
    killed_in_its_shift(memory, azure, tags)

    resumed = begin(azure, make_project(), BOB if owner is BOB else ANN, gone=ANN, begun_before=False)

    assert resumed is not None
    assert resumed.share == 10
    verify_traffic(azure, resumed)
    shift_traffic(azure, resumed, 50, None)
    assert traffic_of(look(memory)) == {"blue": 50, "green": 50}


@either_tags
def test_a_rollout_is_rolled_back_during_its_shift(memory: Memory, azure: Workspace, tags: str) -> None:
    """The shift is not taken for somebody else's change."""
    killed_in_its_shift(memory, azure, tags)

    roll_back(azure, NAME)

    assert traffic_of(look(memory)) == {"blue": 100}
    assert Record.from_tags(look(memory).resource["tags"]) is None


@either_tags
def test_a_live_deployment_that_was_scaled_in_gets_its_instances_first(
    memory: Memory, azure: Workspace, tags: str
) -> None:
    """A rollback during the last shift sees that the users are leaving a deployment which is too small for them."""
    azure.scale_up(NAME, "blue", 4)
    rollout, before = created(azure), look(memory).resource
    shift_traffic(azure, rollout, 100, None)
    deploy(memory, "blue", 1, 1)
    under_way(memory, before, tags)
    seen: list[tuple[dict[str, int], int]] = []
    memory.changed = lambda: seen.append(
        (traffic_of(look(memory)), capacity(look(memory).deployments["blue"].resource))
    )

    roll_back(azure, NAME)

    assert ({"blue": 100}, 1) not in seen
    assert traffic_of(look(memory)) == {"blue": 100}


@either_tags
def test_harm_is_stopped_during_a_change(memory: Memory, azure: Workspace, tags: str) -> None:
    """The first part of a rollback alone."""
    rollout = killed_in_its_shift(memory, azure, tags)

    assert put_traffic_back(azure, rollout)

    assert traffic_of(look(memory)) == {"blue": 100}


@either_tags
def test_a_run_that_is_ended_in_its_first_change_goes_back(memory: Memory, azure: Workspace, tags: str) -> None:
    """Its record is on its way: it does not stay as a lock that nobody holds."""
    before = look(memory).resource
    begin(azure, make_project(), ANN, gone=None, begun_before=False)
    under_way(memory, before, tags)

    assert roll_back_own(azure, NAME, lambda owner: owner == ANN) is not None

    assert Record.from_tags(look(memory).resource["tags"]) is None


@either_tags
def test_nothing_begins_where_somebody_is_moving_the_traffic(memory: Memory, azure: Workspace, tags: str) -> None:
    """The traffic that is on its way is what counts; no record is left."""
    deploy(memory, "red", 7)
    before = look(memory).resource
    edit(memory, traffic={"blue": 50, "red": 50})
    under_way(memory, before, tags)

    with pytest.raises(Refused, match="the traffic of shop is blue=50 red=50"):
        begin(azure, make_project(), ANN, gone=None, begun_before=False)

    assert Record.from_tags(look(memory).resource["tags"]) is None


@either_tags
def test_a_rollback_that_is_on_its_way_is_not_overwritten(memory: Memory, azure: Workspace, tags: str) -> None:
    """Somebody resumes a rollout while it is being rolled back: that is finished, and nothing goes forward."""
    rollout, before = created(azure), look(memory).resource
    azure.update_endpoint(NAME, tags=lambda shown: rollout.advanced(shown, phase=Phase.ROLLING_BACK))
    under_way(memory, before, tags)

    with pytest.raises(Refused, match="was being rolled back; it is rolled back"):
        begin(azure, make_project(), BOB, gone=ANN, begun_before=False)

    assert Record.from_tags(look(memory).resource["tags"]) is None


@either_tags
def test_mirroring_begins_after_the_change(memory: Memory, azure: Workspace, tags: str) -> None:
    """A share that is on its way is not somebody else's change."""
    rollout = killed_in_its_shift(memory, azure, tags)

    mirror_traffic(azure, rollout, 0)

    assert traffic_of(look(memory)) == {"blue": 90, "green": 10}


@either_tags
def test_a_deployment_to_which_users_are_going_is_not_retired(memory: Memory, azure: Workspace, tags: str) -> None:
    """Somebody gives the users back to the old deployment: its record stays as it is."""
    rollout = created(azure)
    shift_traffic(azure, rollout, 100, None)
    end(azure, rollout, keep_s=3600)
    before = look(memory).resource
    edit(memory, traffic={"blue": 100})
    under_way(memory, before, tags)

    with pytest.raises(Refused, match="has traffic again and is not retired"):
        retire(azure, NAME, at_once=True)

    record = Record.from_tags(look(memory).resource["tags"])
    assert record is not None
    assert record.phase is Phase.KEEPING


def test_a_late_read_keeps_nobody_from_rolling_back(memory: Memory, azure: Workspace) -> None:
    """Tags and traffic of before the shift are shown once more, as if nothing were under way."""
    rollout = created(azure)
    memory.late_reads = 2  # of the endpoint, and of its deployments
    edit(memory, traffic={"blue": 90, "green": 10}, tags=rollout.advanced(look(memory).resource["tags"], share=10))

    roll_back(azure, NAME)

    assert traffic_of(look(memory)) == {"blue": 100}
    assert Record.from_tags(look(memory).resource["tags"]) is None


def test_who_resumes_overwrites_nothing_that_was_read_late(memory: Memory, azure: Workspace) -> None:
    """The record that is taken over is the one at that moment, with the share that its run had reached."""
    rollout = created(azure)
    memory.late_reads = 2
    edit(memory, traffic={"blue": 90, "green": 10}, tags=rollout.advanced(look(memory).resource["tags"], share=10))

    resumed = begin(azure, make_project(), BOB, gone=ANN, begun_before=False)

    assert resumed is not None
    assert resumed.share == 10
    verify_traffic(azure, resumed)


def test_no_record_is_left_where_the_traffic_was_read_late(memory: Memory, azure: Workspace) -> None:
    """A rollout that began with the traffic of before could neither go on nor back."""
    deploy(memory, "red", 7)
    memory.late_reads = 2
    edit(memory, traffic={"blue": 50, "red": 50})

    with pytest.raises(Drifted):
        begin(azure, make_project(), ANN, gone=None, begun_before=False)

    assert Record.from_tags(look(memory).resource["tags"]) is None


@either_tags
def test_somebody_elses_traffic_is_still_seen(memory: Memory, azure: Workspace, tags: str) -> None:
    """It was on its way when the rollback began."""
    rollout, before = created(azure), look(memory).resource
    shift_traffic(azure, rollout, 10, None)
    edit(memory, traffic={"blue": 40, "green": 60})
    under_way(memory, before, tags)

    with pytest.raises(Drifted):
        roll_back(azure, NAME)
    with pytest.raises(Drifted):
        verify_traffic(azure, rollout)
