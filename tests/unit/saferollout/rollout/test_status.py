"""The status says the truth of Azure first, and what comes next."""

from datetime import UTC, datetime, timedelta

from saferollout.azure.memory import Memory
from saferollout.azure.workspace import Workspace
from saferollout.domain.composition import Composition
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.rollout import question, shift
from saferollout.rollout.begin import begin
from saferollout.rollout.create import create_candidate
from saferollout.rollout.guard import Run, Sign
from saferollout.rollout.hold import Hold, release
from saferollout.rollout.record import Record
from saferollout.rollout.rollback import roll_back
from saferollout.rollout.rollout import Rollout
from saferollout.rollout.status import Status, status_of
from tests.support.twin import NAME, OWNERS, deploy, make_endpoint, make_project

NOW = datetime.now(UTC)


def begun(memory: Memory | None = None) -> tuple[Workspace, Rollout]:
    """A rollout whose candidate has 10% and waits for 50%."""
    azure = Workspace(memory or make_endpoint())
    project = make_project()
    rollout = begin(azure, project, OWNERS["ann"], gone=None, begun_before=False)
    assert rollout
    create_candidate(azure, rollout)
    made_of = Composition.of(azure.get_endpoint(NAME).deployments["green"])
    rollout = rollout.model_copy(update={"made_of": made_of})
    shift.shift_traffic(azure, rollout, 10, None)
    question.note_question(azure, rollout, project.config.stages[1])
    return azure, rollout


def status(azure: Workspace, run: Run | None = None, evidence: Evidence | None = None) -> Status:
    """How the endpoint is."""
    state = azure.get_endpoint(NAME)
    return status_of(state, Record.from_tags(state.tags), run, evidence, NOW)


def test_an_endpoint_without_a_rollout() -> None:
    """Who is live, with its bar, and nothing else."""
    shown = status(Workspace(make_endpoint()))
    assert (shown.rollout, shown.traffic, shown.next) == ("", {"blue": 100}, "nothing: no rollout is under way")
    assert f"blue {'█' * 25} 100%  1 instance  model:1  live" in shown.text


def test_a_rollout_that_waits() -> None:
    """Traffic, stage, who waits for what until when, and how to answer, although Prefect is not asked."""
    azure, rollout = begun()
    shown = status(azure)
    assert (shown.rollout, shown.share, shown.owner) == (rollout.id, 10, "ann@laptop")
    assert [(found.name, found.role, found.traffic) for found in shown.deployments] == [
        ("blue", "live", 90),
        ("green", "candidate", 10),
    ]
    assert shown.waits_for == "a person to approve 50%"
    assert shown.waits_until is not None
    assert "saferollout approve shop" in shown.next
    assert "the guard judges the candidate meanwhile" in shown.text


def test_a_changed_candidate_is_shown_while_it_waits() -> None:
    """Whoever is about to approve it reads what is another since the question was asked."""
    memory = make_endpoint()
    azure, rollout = begun(memory)
    assert status(azure).change == ""
    deploy(memory, "green", 7, tags=rollout.candidate_tags)
    shown = status(azure)
    assert "somebody else changed it (model model:2 → model:7, composition " in shown.change
    assert "; an approval of what was shown no longer counts" in shown.text


def test_a_held_revision_is_shown() -> None:
    """Whoever wonders why nothing is rolled out reads why; not once it is released."""
    azure, rollout = begun()
    roll_back(azure, NAME, hold=Hold.of(rollout.revision, "model:2", "error rate 9%"))
    shown = status(azure)
    assert shown.hold.startswith(f"model:2 (revision {rollout.revision}) is held since 20")
    assert "UTC: error rate 9%" in shown.text
    release(azure, NAME, by="eve", comment="seen")
    assert status(azure).hold == ""


def test_what_prefect_knows_is_added() -> None:
    """The state of the run, the last verdict, and what the guard is about to do."""
    azure, _ = begun()
    run = Run(sign=Sign.CRASHED, state="Crashed", since=NOW - timedelta(minutes=5), deployed=True)
    found = Evidence(gate="judge at 10%", verdict=GateVerdict.HEALTHY, summary="no sign of harm")
    shown = status(azure, run, found)
    assert (shown.run_state, shown.verdict) == ("Crashed", "judge at 10%: healthy — no sign of harm")
    assert shown.next == "the guard has the run begin again: its flow run crashed"


def test_a_question_keeps_its_time() -> None:
    """Whoever begins again does not give it more; the shift takes it off the record."""
    azure, rollout = begun()
    first = status(azure).waits_until
    question.note_question(azure, rollout, rollout.project.config.stages[1])
    assert status(azure).waits_until == first
    shift.shift_traffic(azure, rollout, 50, None)
    assert status(azure).waits_for == ""
