"""A rollout that waits for the end of a freeze: what its record, the guard and the status say, and what never waits."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from saferollout.azure.workspace import Workspace
from saferollout.config.rollout import StageConfig
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.rollout.auto import AUTO, approve_by_itself
from saferollout.rollout.begin import begin
from saferollout.rollout.guard import Act, Run, Sign, decide
from saferollout.rollout.question import note_question
from saferollout.rollout.record import Record, now
from saferollout.rollout.rollback import roll_back
from saferollout.rollout.rollout import Rollout
from saferollout.rollout.status import status_of
from saferollout.rollout.thaw import note_freeze
from tests.support.twin import NAME, OWNERS, make_endpoint, make_project

UNTIL = datetime(2100, 1, 4, 6, tzinfo=UTC)
LATER = timedelta(days=3)
FOUND = Evidence(gate="judge at 10%", verdict=GateVerdict.HEALTHY, summary="no harm seen")


@pytest.fixture
def azure() -> Workspace:
    """An endpoint in memory."""
    return Workspace(make_endpoint())


def start(azure: Workspace, **settings: Any) -> Rollout:
    """A rollout that has begun."""
    rollout = begin(azure, make_project(**settings), OWNERS["ann"], gone=None, begun_before=False)
    assert rollout is not None
    return rollout


def record_of(azure: Workspace) -> Record:
    """The endpoint's record."""
    found = Record.from_tags(azure.get_endpoint(NAME).tags)
    assert found is not None
    return found


def test_a_frozen_rollout_is_not_overdue(azure: Workspace) -> None:
    """The guard leaves a run that is scheduled for the end of a freeze, however far off, and says why."""
    rollout = start(azure)

    assert note_freeze(azure, rollout, 10, UNTIL, asked=True)

    record = record_of(azure)
    run = Run(sign=Sign.SCHEDULED, state="Frozen", since=now(), deployed=True)
    state = azure.get_endpoint(NAME)
    action = decide(state, record, run, UNTIL - timedelta(minutes=1))
    assert (action.act, action.reason) == (Act.LEAVE, "waits for the end of a freeze at 2100-01-04 06:00:00 UTC")
    assert record.due is not None
    assert record.due > UNTIL
    assert decide(state, record, run, record.due + timedelta(seconds=1)).act is Act.ROLL_BACK
    assert note_freeze(azure, rollout, 10, UNTIL, asked=True), "a run that begins again finds it there"
    assert record_of(azure) == record


def test_status_says_until_when_nothing_is_shifted(azure: Workspace) -> None:
    """It waits for nobody then, though its question was answered before."""
    rollout = start(azure)
    note_question(azure, rollout, StageConfig(traffic=10))
    note_freeze(azure, rollout, 10, UNTIL, asked=True)

    frozen = status_of(azure.get_endpoint(NAME), record_of(azure), None, None, UNTIL - LATER)
    over = status_of(azure.get_endpoint(NAME), record_of(azure), None, None, UNTIL)

    assert frozen.frozen_until == UNTIL
    assert "Nothing is shifted until 2100-01-04 06:00:00 UTC" in frozen.text
    assert "saferollout approve" not in frozen.text
    assert over.frozen_until is None


def test_an_open_question_does_not_wait(azure: Workspace) -> None:
    """A rejection that comes in a freeze is heard at once; only what was approved waits."""
    rollout = start(azure)
    note_question(azure, rollout, StageConfig(traffic=10))

    assert not note_freeze(azure, rollout, 10, UNTIL, asked=False)
    assert record_of(azure).frozen_until is None
    assert note_freeze(azure, rollout, 50, UNTIL, asked=False), "another stage's question is not open"


def test_rolling_back_is_never_frozen(azure: Workspace) -> None:
    """The record goes, and live has all traffic."""
    rollout = start(azure)
    note_freeze(azure, rollout, 10, UNTIL, asked=True)

    roll_back(azure, NAME)

    assert Record.from_tags(azure.get_endpoint(NAME).tags) is None
    assert azure.get_endpoint(NAME).traffic == {"blue": 100}


@pytest.mark.parametrize(
    ("auto", "verdicts", "approves"),
    [
        ("healthy", [GateVerdict.HEALTHY], True),
        ("healthy", [GateVerdict.PASSED, GateVerdict.HEALTHY], True),
        ("off", [GateVerdict.HEALTHY], False),
        ("healthy", [GateVerdict.PASSED], False),
        ("healthy", [GateVerdict.UNDECIDED], False),
        ("healthy", [GateVerdict.UNDECIDED, GateVerdict.HEALTHY], False),
        ("healthy", [GateVerdict.HEALTHY, GateVerdict.UNDECIDED], False),
        ("healthy", [], False),
    ],
)
def test_a_stage_approves_by_itself_only_where_it_is_healthy(
    azure: Workspace, auto: str, verdicts: list[GateVerdict], approves: bool
) -> None:
    """Switched on, on the judge's word, and only if no gate was undecided; recorded as what it is."""
    rollout = start(azure)
    gates = [FOUND.model_copy(update={"verdict": verdict}) for verdict in verdicts]
    stage = StageConfig.model_validate({"traffic": 50, "auto": auto})

    decision = approve_by_itself(rollout, stage, gates, "run-of-ann")

    assert (decision is not None) == approves
    if decision:
        assert (decision.approver, decision.decision, decision.share) == (AUTO, "approve", 50)
        assert (decision.rollout, len(decision.evidence)) == (rollout.id, 12)
        assert "no harm seen" in decision.comment


def test_a_run_that_begins_again_approves_as_before(azure: Workspace) -> None:
    """The same evidence is the same decision, with its time; a forged one on other evidence is not taken."""
    rollout, stage = start(azure), StageConfig.model_validate({"traffic": 50, "auto": "healthy"})
    first = approve_by_itself(rollout, stage, [FOUND], "run-of-ann")
    assert first is not None
    earlier = first.model_copy(update={"at": first.at - LATER})
    forged = earlier.model_copy(update={"evidence": "0" * 12})

    again = approve_by_itself(rollout.model_copy(update={"approvals": {50: earlier}}), stage, [FOUND], "run-of-ann")
    anew = approve_by_itself(rollout.model_copy(update={"approvals": {50: forged}}), stage, [FOUND], "run-of-ann")

    assert again == earlier
    assert anew is not None
    assert (anew.evidence, anew.at >= first.at) == (first.evidence, True)
