"""A revision that did harm, or was rejected, is not tried again by itself; whatever dies in between."""

from datetime import UTC, datetime

import pytest

from saferollout.azure.memory import Memory
from saferollout.azure.workspace import Workspace
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import (
    AzureFailed,
    DeploymentFailed,
    Drifted,
    GateFailed,
    Refused,
    Rejected,
    Stopped,
)
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.rollout.begin import begin
from saferollout.rollout.create import create_candidate
from saferollout.rollout.hold import Hold, hold_for, release
from saferollout.rollout.record import MAX_TAG_LENGTH, MAX_TAGS, TAG_HELD, Record, without_record
from saferollout.rollout.retire import end
from saferollout.rollout.rollback import put_traffic_back, roll_back
from saferollout.rollout.rollout import Rollout
from saferollout.rollout.shift import shift_traffic
from tests.support.twin import NAME, OWNERS, edit, look, make_endpoint, make_project, traffic_of

ANN, BOB = OWNERS["ann"], OWNERS["bob"]
HELD = make_project(2).revision


@pytest.fixture
def memory() -> Memory:
    """An endpoint with blue at 100%."""
    return make_endpoint()


@pytest.fixture
def azure(memory: Memory) -> Workspace:
    """It, as a rollout sees it."""
    return Workspace(memory)


def tags_of(memory: Memory) -> dict[str, str]:
    """The endpoint's tags."""
    tags: dict[str, str] = look(memory).resource["tags"]
    return tags


def start(azure: Workspace, version: int = 2, again: str = "") -> Rollout:
    """Begin a rollout."""
    rollout = begin(azure, make_project(version), BOB, gone=None, begun_before=False, again=again)
    assert rollout is not None
    return rollout


def hold_of(version: int = 2, reason: str = "error rate 9% against 1%") -> Hold:
    """A hold that begins now."""
    return Hold.of(make_project(version).revision, f"model:{version}", reason)


def rolled_back(azure: Workspace, version: int = 2) -> None:
    """A rollout that reached 10%, and did harm."""
    rollout = start(azure, version)
    create_candidate(azure, rollout)
    shift_traffic(azure, rollout, 10, None)
    roll_back(azure, NAME, hold=hold_of(version))


def test_a_held_revision_is_refused_and_another_is_not(memory: Memory, azure: Workspace) -> None:
    """Nothing is changed; the line says why, since when, and what to do."""
    rolled_back(azure)
    before = look(memory)

    with pytest.raises(Refused) as refused:
        start(azure)

    assert look(memory) == before
    assert str(refused.value).startswith(f"model:2 (revision {HELD}) is held since 20")
    assert str(refused.value).endswith(
        "UTC: error rate 9% against 1%; `saferollout release shop --comment WHY` ends that, and `--again` rolls it out "
        "all the same"
    )
    assert start(azure, 3).hold == ""


def test_a_held_tag_is_no_record(memory: Memory, azure: Workspace) -> None:
    """It stays when the record goes, and nobody takes it for one."""
    rolled_back(azure)

    assert Record.from_tags(tags_of(memory)) is None
    assert TAG_HELD in without_record(tags_of(memory))
    with pytest.raises(Refused, match="has no rollout to roll back"):
        roll_back(azure, NAME)


def test_the_hold_is_there_with_the_first_change_of_the_way_back(memory: Memory, azure: Workspace) -> None:
    """Whoever is killed right after it has not lost it, and whoever goes on without knowing why keeps it."""
    rollout = start(azure)
    create_candidate(azure, rollout)
    shift_traffic(azure, rollout, 10, None)
    seen: list[tuple[dict[str, int], bool]] = []
    memory.changed = lambda: seen.append((traffic_of(look(memory)), TAG_HELD in tags_of(memory)))

    put_traffic_back(azure, rollout, hold_of())
    roll_back(azure, NAME)

    assert seen[0] == ({"blue": 100}, True)
    assert all(held for _, held in seen)
    assert Record.from_tags(tags_of(memory)) is None


def test_what_is_found_during_a_rollback_holds_nothing(memory: Memory, azure: Workspace) -> None:
    """A candidate that somebody takes away fails: that is no reason to hold its revision."""
    rollout = start(azure)
    create_candidate(azure, rollout)
    shift_traffic(azure, rollout, 10, None)
    put_traffic_back(azure, rollout)

    roll_back(azure, NAME, hold=hold_of())

    assert TAG_HELD not in tags_of(memory)


def test_a_person_may_roll_it_out_again(memory: Memory, azure: Workspace) -> None:
    """That is on record; the hold stays until the revision is promoted."""
    rolled_back(azure)

    rollout = start(azure, again="ann@laptop")

    assert rollout.hold.startswith(f"ann@laptop started it again, although model:2 (revision {HELD}) is held since 20")
    roll_back(azure, NAME)  # for another reason
    with pytest.raises(Refused, match="is held since"):
        start(azure)
    rollout = start(azure, again="ann@laptop")
    create_candidate(azure, rollout)
    shift_traffic(azure, rollout, 100, None)
    end(azure, rollout, keep_s=3600)
    assert TAG_HELD not in tags_of(memory)


def test_the_end_of_another_rollout_leaves_the_hold(memory: Memory, azure: Workspace) -> None:
    """A schedule that comes back to the held revision is refused."""
    rolled_back(azure)
    rollout = start(azure, 3)
    create_candidate(azure, rollout)
    shift_traffic(azure, rollout, 100, None)
    end(azure, rollout, keep_s=0)

    with pytest.raises(Refused, match="is held since"):
        start(azure)
    assert Record.from_tags(tags_of(memory)) is None


def test_a_run_that_goes_on_is_not_refused(azure: Workspace) -> None:
    """Its person insisted at the start; another run of the same revision needs a person of its own."""
    rolled_back(azure)
    rollout = start(azure, again="ann@laptop")

    resumed = begin(azure, make_project(2), BOB, gone=None, begun_before=True, again="ann@laptop")
    assert resumed is not None
    assert (resumed.id, resumed.hold) == (rollout.id, rollout.hold)
    with pytest.raises(Refused, match="is held since"):
        begin(azure, make_project(2), ANN, gone=BOB, begun_before=False)


def test_release_ends_the_hold_and_says_who_did(azure: Workspace) -> None:
    """The next report says so; there is nothing to release twice."""
    rolled_back(azure)

    found = release(azure, NAME, by="ann@laptop", comment="the test data were wrong")

    assert "is held since" in found
    assert start(azure).hold == (
        "The hold on it (error rate 9% against 1%) was ended by ann@laptop: the test data were wrong."
    )
    with pytest.raises(Refused, match="endpoint shop holds no revision: nothing to do"):
        release(azure, NAME, by="ann@laptop", comment="once more")
    roll_back(azure, NAME, hold=hold_of(reason="again"))
    with pytest.raises(Refused, match="UTC: again;"):
        start(azure)


@pytest.mark.parametrize("sign", ["x", '"', "é", "\\"])
def test_a_hold_fits_into_a_tag(azure: Workspace, memory: Memory, sign: str) -> None:
    """Whatever a gate, a person and a registry call things; revision and moment are always whole."""
    rollout = start(azure)
    hold = Hold.of(rollout.revision, sign * 300, f"{sign * 300}\nand more")

    roll_back(azure, NAME, hold=hold)
    assert len(tags_of(memory)[TAG_HELD]) <= MAX_TAG_LENGTH
    release(azure, NAME, by="ann@a-machine-with-a-long-name", comment=sign * 500)

    assert len(tags_of(memory)[TAG_HELD]) <= MAX_TAG_LENGTH
    found = Hold.from_tags(tags_of(memory))
    assert found is not None
    assert (found.revision, found.since, found.released_by) == (
        rollout.revision,
        hold.since,
        "ann@a-machine-with-a-long-name",
    )


def test_a_damaged_hold_refuses_until_it_is_released(azure: Workspace, memory: Memory) -> None:
    """Nobody knows what it held; the way back does not depend on it."""
    start(azure)
    edit(memory, tags=tags_of(memory) | {TAG_HELD: "{"})
    roll_back(azure, NAME)

    with pytest.raises(Refused, match=r"the endpoint's tag saferollout\.held is damaged"):
        start(azure, again="ann@laptop")
    assert release(azure, NAME, by="ann@laptop", comment="damaged") == "a hold in a damaged tag: {"
    start(azure)


def test_the_way_back_comes_before_the_hold(azure: Workspace, memory: Memory) -> None:
    """Somebody has given the endpoint so many tags meanwhile that Azure would refuse one more."""
    start(azure)
    tags = tags_of(memory)
    edit(memory, tags=tags | {f"tag-{number}": "" for number in range(MAX_TAGS - len(tags))})

    roll_back(azure, NAME, hold=hold_of())

    assert Record.from_tags(tags_of(memory)) is None


def evidence(verdict: GateVerdict) -> Evidence:
    """What a gate found."""
    return Evidence(gate="judge at 10%", verdict=verdict, summary="as it is")


def decision() -> Decision:
    """A person's no."""
    at = datetime(2025, 1, 2, tzinfo=UTC)
    return Decision(share=10, decision="reject", approver="Eve", at=at, evidence="e")


@pytest.mark.parametrize(
    ("failure", "is_held"),
    [
        (GateFailed("harm", evidence(GateVerdict.HARMFUL)), True),
        (GateFailed("smoke test failed: 3 of 20", evidence(GateVerdict.FAILED)), True),
        (Rejected("Eve rejected 10%: too slow", decision()), True),
        (Rejected("nobody approved 10% within 1 h"), False),
        (GateFailed("undecided", evidence(GateVerdict.UNDECIDED)), False),
        (GateFailed("deployment green is gone"), False),
        (DeploymentFailed("deployment green did not come up"), False),
        (Drifted("somebody else changed it"), False),
        (Stopped("the run was cancelled in Prefect", cancelled=True), False),
        (AzureFailed("no answer"), False),
        (RuntimeError("a bug"), False),
    ],
    ids=lambda value: value if isinstance(value, bool) else str(value),
)
def test_harm_and_a_persons_no_are_held(failure: Exception, is_held: bool) -> None:
    """What failed for a technical reason, or because nobody answered, may be tried again by itself."""
    hold = hold_for(failure, HELD, "model:2")

    assert hold == (Hold.of(HELD, "model:2", str(failure)).model_copy(update={"since": hold.since}) if hold else None)
    assert (hold is not None) == is_held
