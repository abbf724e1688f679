"""What the guard decides, from the endpoint, its record and the run, for every state that Prefect leaves behind."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from saferollout.config.rollout import MAX_RESUMES
from saferollout.domain.endpoint import Baseline, EndpointState
from saferollout.rollout.guard import ORPHAN_S, SETTLING_S, STUCK_S, UNPLACED, UNPLACED_S, Act, Run, Sign, decide
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import OpenQuestion, Phase, Record

NOW = datetime(2025, 1, 2, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    """So many seconds before."""
    return NOW - timedelta(seconds=seconds)


def record(**changes: Any) -> Record:
    """A rollout under way."""
    known: dict[str, Any] = {
        "rollout": "r1",
        "owner": Owner(name="ann@laptop", flow_run="run"),
        "since": ago(3600),
        "candidate": "green",
        "revision": "0" * 12,
        "baseline": Baseline(live="blue", instance_count=1),
        "due": ago(-3600),
    }
    return Record(**(known | changes))


def act(shown: Record, run: Run | None, share: int = 0) -> Act:
    """What is done where the candidate has this share of the traffic."""
    state = EndpointState(
        name="shop",
        scoring_uri="",
        provisioning_state="Succeeded",
        traffic={"blue": 100 - share} | ({"green": share} if share else {}),
        mirror_traffic={},
        tags={},
        deployments={},
    )
    return decide(state, shown.model_copy(update={"share": share}), run, NOW).act


def run(sign: Sign, age_s: float = 1, *, deployed: bool = True, unasked: bool = False) -> Run:
    """A run that has been so for a while."""
    return Run(sign=sign, state=sign.value, since=ago(age_s), deployed=deployed, unasked=unasked)


def test_a_run_at_work_is_left_alone() -> None:
    """It judges by itself, however long it takes; a rollback of its own, too."""
    late = record(due=ago(1))
    for shown in (record(), late, record(phase=Phase.ROLLING_BACK)):
        assert act(shown, run(Sign.WORKING, 99999), share=10) is Act.LEAVE


@pytest.mark.parametrize("sign", [Sign.ASKING, Sign.SCHEDULED, Sign.STARTING, Sign.CANCELLING])
def test_a_candidate_with_users_is_judged_while_nobody_does(sign: Sign) -> None:
    """Whatever its run waits for; without users there is nobody to be harmed."""
    assert act(record(), run(sign), share=10) is Act.JUDGE
    assert act(record(), run(sign)) is Act.LEAVE


def test_without_prefect_nothing_goes_forward() -> None:
    """What has users is judged, what is overdue is rolled back, all else is left."""
    assert act(record(), None) is Act.LEAVE
    assert act(record(), None, share=10) is Act.JUDGE
    assert act(record(due=ago(1)), None, share=10) is Act.ROLL_BACK
    assert act(record(due=None), None, share=10) is Act.JUDGE


@pytest.mark.parametrize("sign", [Sign.ENDED, Sign.DELETED])
def test_what_an_ended_run_left_is_rolled_back(sign: Sign) -> None:
    """At once: its code no longer runs."""
    assert act(record(), run(sign), share=10) is Act.ROLL_BACK


def test_what_is_for_a_person_to_put_right_is_left_to_one() -> None:
    """Somebody else changed the endpoint, and nobody wanted it put back: rolled back when that is overdue."""
    left = run(Sign.ENDED).model_copy(update={"left_as_is": True})
    assert act(record(), left) is Act.LEAVE
    assert act(record(), left, share=10) is Act.JUDGE
    assert act(record(due=ago(1)), left) is Act.ROLL_BACK


@pytest.mark.parametrize(
    ("sign", "young_s", "old_s", "meanwhile"),
    [
        (Sign.CRASHED, 5, 20, Act.WAIT),
        (Sign.STARTING, STUCK_S - 1, STUCK_S + 1, Act.LEAVE),
    ],
)
def test_a_lost_run_begins_again_a_few_times(sign: Sign, young_s: float, old_s: float, meanwhile: Act) -> None:
    """Not before it is sure that it is lost; then it is rolled back."""
    assert act(record(), run(sign, young_s)) is meanwhile
    assert act(record(), run(sign, old_s)) is Act.RESUME
    assert act(record(resumes=MAX_RESUMES), run(sign, old_s)) is Act.ROLL_BACK
    assert act(record(), run(sign, old_s, deployed=False)) is Act.ROLL_BACK


def test_a_pod_may_wait_for_its_node() -> None:
    """A cluster that has to grow needs minutes: a second pod of the run would wait beside the first one."""
    for age_s, expected in ((STUCK_S + 1, Act.LEAVE), (UNPLACED_S + 1, Act.RESUME)):
        assert act(record(), run(Sign.STARTING, age_s).model_copy(update={"state": UNPLACED})) is expected


def test_a_silent_run_begins_again_or_is_given_time_for_its_own_command() -> None:
    """A worker takes a deployed one up; what a command's process left, the same command can finish for a while."""
    assert act(record(), run(Sign.SILENT, 200)) is Act.RESUME
    assert act(record(resumes=MAX_RESUMES), run(Sign.SILENT, 200)) is Act.ROLL_BACK
    assert act(record(), run(Sign.SILENT, ORPHAN_S - 1, deployed=False), share=10) is Act.JUDGE
    assert act(record(), run(Sign.SILENT, ORPHAN_S + 1, deployed=False), share=10) is Act.ROLL_BACK


def test_a_run_that_is_never_cancelled_to_the_end_is_rolled_back() -> None:
    """Its worker, which should end it, is gone."""
    assert act(record(), run(Sign.CANCELLING, STUCK_S - 1)) is Act.LEAVE
    assert act(record(), run(Sign.CANCELLING, STUCK_S + 1)) is Act.ROLL_BACK


def test_a_cancelled_run_that_waits_for_the_end_of_a_freeze_is_rolled_back_soon() -> None:
    """It has no process, and so no worker attends to it; one that has just begun to wait may still have one."""
    frozen = record(frozen_until=ago(-3600))
    assert act(frozen, run(Sign.CANCELLING, SETTLING_S - 1), share=10) is Act.WAIT
    assert act(frozen, run(Sign.CANCELLING, SETTLING_S + 1), share=10) is Act.ROLL_BACK


def test_a_question_that_nobody_answered_rolls_back_within_two_minutes() -> None:
    """Prefect ends it by itself; the guard does where it did not. One that stays open is never too late."""
    asked = OpenQuestion(share=100, since=ago(7200), until=ago(30))
    assert act(record(asks=asked), run(Sign.ASKING, 7200)) is Act.LEAVE
    asked = OpenQuestion(share=100, since=ago(7200), until=ago(61))
    assert act(record(asks=asked), run(Sign.ASKING, 7200)) is Act.ROLL_BACK
    for_ever = OpenQuestion(share=100, since=ago(10**7))
    assert act(record(asks=for_ever, due=None), run(Sign.ASKING, 10**7)) is Act.LEAVE


def test_a_run_that_was_killed_before_it_wrote_its_question_begins_again() -> None:
    """It would wait for an answer to nothing; whoever sits at it writes the question by himself."""
    asked = record(asks=OpenQuestion(share=100, since=ago(7200)), due=None)
    assert act(asked, run(Sign.ASKING, STUCK_S - 1, unasked=True)) is Act.LEAVE
    assert act(asked, run(Sign.ASKING, STUCK_S + 1, unasked=True)) is Act.RESUME
    assert act(asked, run(Sign.ASKING, STUCK_S + 1, unasked=True, deployed=False)) is Act.LEAVE


def test_what_is_kept_is_retired_in_time_and_a_rollback_is_finished() -> None:
    """Whoever began it."""
    assert act(record(phase=Phase.KEEPING, keep_until=ago(-1)), None) is Act.LEAVE
    assert act(record(phase=Phase.KEEPING, keep_until=ago(1)), None) is Act.RETIRE
    assert act(record(phase=Phase.RETIRING, keep_until=ago(-1)), None) is Act.RETIRE
    assert act(record(phase=Phase.ROLLING_BACK), None) is Act.ROLL_BACK
    assert act(record(phase=Phase.ROLLING_BACK), run(Sign.ENDED)) is Act.ROLL_BACK


@pytest.mark.parametrize("phase", [Phase.KEEPING, Phase.RETIRING])
def test_a_run_deletes_the_old_deployment_itself_unless_it_is_lost(phase: Phase) -> None:
    """Two at it would be one too many; one that has just crashed may be reported a second time."""
    due = record(phase=phase, keep_until=ago(1))
    assert act(due, run(Sign.WORKING)) is Act.LEAVE
    assert act(due, run(Sign.CRASHED, SETTLING_S - 1)) is Act.WAIT
    for lost in (run(Sign.CRASHED, SETTLING_S), run(Sign.SILENT), run(Sign.ENDED), run(Sign.DELETED)):
        assert act(due, lost) is Act.RETIRE
