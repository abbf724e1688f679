"""The record is the lock: whoever starts or takes over at the same time as another, in whatever order, one goes on."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saferollout.azure.memory import Memory
from saferollout.azure.workspace import Workspace
from saferollout.domain.errors import Refused, Taken
from saferollout.rollout.begin import begin
from saferollout.rollout.create import create_candidate
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import Phase, Record
from saferollout.rollout.rollout import Rollout
from saferollout.rollout.shift import shift_traffic
from tests.support.racing import InTurns, Turns, workspace
from tests.support.twin import NAME, OWNERS, look, make_endpoint, make_project, traffic_of

ANN, BOB = OWNERS["ann"], OWNERS["bob"]
EVE = Owner(name="eve@laptop", flow_run="run-of-eve")
orders = st.lists(st.integers(0, 5), max_size=60)


def race(memory: Memory, owners: list[Owner], order: list[int], gone: Owner | None = None) -> dict[str, Rollout | str]:
    """Let them all start; by name, the rollout or why there is none."""
    ends: dict[str, Rollout | str] = {}
    left = iter(order)
    turns = Turns(lambda ready: ready[next(left, 0) % len(ready)])

    def starts(owner: Owner) -> Callable[[], None]:
        def start() -> None:
            azure = workspace(InTurns(memory, turns, owner.name))
            try:
                rollout = begin(azure, make_project(), owner, gone=gone, begun_before=False)
                assert rollout is not None
                ends[owner.name] = rollout
            except Taken as refused:
                ends[owner.name] = str(refused)

        return start

    turns.play({owner.name: starts(owner) for owner in owners})
    return ends


def record_of(memory: Memory) -> Record:
    """The record that is there."""
    record = Record.from_tags(look(memory).resource["tags"])
    assert record is not None
    return record


def check_one_won(memory: Memory, ends: dict[str, Rollout | str]) -> None:
    """One has the endpoint; each other was refused, with who that is, or was, and since when."""
    record = record_of(memory)
    won = [name for name, end in ends.items() if isinstance(end, Rollout)]
    assert won == [record.owner.name]
    for name, end in ends.items():
        if isinstance(end, str):
            assert name not in won
            assert "begun by" in end or "taken over at this very moment" in end
            assert f"begun by {name}" not in end
    assert traffic_of(look(memory)) == {"blue": 100}
    assert list(look(memory).deployments) == ["blue"]


@given(st.integers(2, 3), orders)
@settings(max_examples=300, derandomize=True)
@pytest.mark.slow
def test_one_of_several_starts_wins(several: int, order: list[int]) -> None:
    """Whatever the order of their calls to Azure."""
    memory = make_endpoint()

    check_one_won(memory, race(memory, [ANN, BOB, EVE][:several], order))


@pytest.mark.slow
@given(orders)
@settings(max_examples=150, derandomize=True)
def test_one_of_two_takes_over(order: list[int]) -> None:
    """What a run left that is gone is taken over by one of those who find it, and by that one only."""
    memory = make_endpoint()
    begin(Workspace(memory), make_project(), EVE, gone=None, begun_before=False)

    check_one_won(memory, race(memory, [ANN, BOB], order, gone=EVE))


def left_at_10() -> Memory:
    """An endpoint on which eve's run gave version 2 its first share and died."""
    memory = make_endpoint()
    azure = Workspace(memory)
    rollout = begin(azure, make_project(2), EVE, gone=None, begun_before=False)
    assert rollout is not None
    create_candidate(azure, rollout)
    shift_traffic(azure, rollout, 10, None)
    return memory


def test_what_another_revision_left_is_rolled_back_first() -> None:
    """Then the new rollout begins, in the same start; users are off the old candidate before."""
    memory = left_at_10()
    seen: list[tuple[dict[str, int], str, Phase]] = []

    def note() -> None:
        if record := Record.from_tags(look(memory).resource["tags"]):
            seen.append((traffic_of(look(memory)), record.rollout, record.phase))

    memory.changed = note
    left = record_of(memory)

    rollout = begin(Workspace(memory), make_project(3), ANN, gone=EVE, begun_before=False)

    assert rollout is not None
    assert seen == [
        ({"blue": 100}, left.rollout, Phase.ROLLING_BACK),
        ({"blue": 100}, rollout.id, Phase.ROLLING),
    ]
    assert record_of(memory).owner == ANN
    assert rollout.share == 0


def test_what_a_living_run_has_is_left_alone() -> None:
    """Of another revision, too."""
    memory = left_at_10()
    before = look(memory)

    with pytest.raises(Taken, match=r"unfinished: begun by eve@laptop at 20.*candidate green at 10%"):
        begin(Workspace(memory), make_project(3), ANN, gone=None, begun_before=False)

    assert look(memory) == before


def test_the_same_revision_is_taken_over_with_what_it_reached() -> None:
    """As long as it is not being rolled back: that is finished, and no more."""
    memory = left_at_10()

    resumed = begin(Workspace(memory), make_project(2), ANN, gone=EVE, begun_before=False)
    assert resumed is not None
    assert resumed.share == 10
    Workspace(memory).update_endpoint(NAME, tags=lambda tags: resumed.advanced(tags, phase=Phase.ROLLING_BACK))
    with pytest.raises(Refused, match="was being rolled back; it is rolled back"):
        begin(Workspace(memory), make_project(2), BOB, gone=ANN, begun_before=False)

    assert traffic_of(look(memory)) == {"blue": 100}
