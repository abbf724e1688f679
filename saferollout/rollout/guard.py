"""The guard's decision: what an endpoint needs whose rollout may no longer have anybody at work."""

from datetime import datetime, timedelta
from enum import StrEnum

from saferollout.domain.endpoint import EndpointState, Value
from saferollout.domain.words import clock, plural
from saferollout.rollout.record import Phase, Record

STUCK_S = 120.0
"""How long a run may be *Pending*, *Submitting* or *Cancelling*, or write its question, in seconds."""
UNPLACED = "InfrastructurePending"
"""The state in which Prefect's Kubernetes worker shows a run whose pod has not begun."""
UNPLACED_S = 600.0
"""How long a run's pod may wait for a node, a volume or its image, in seconds; a second one would wait beside it."""
ORPHAN_S = 300.0
"""How long the same command may take up what a process left that nobody can start again, in seconds."""
SETTLING_S = 15.0
"""A worker reports a crash a second time some seconds later, which undoes what was done about the first."""
LATE_S = 60.0
"""How much later than the end of a question its rollout is rolled back; Prefect ends it by itself before that."""


class Sign(StrEnum):
    """What Prefect shows of a rollout's run."""

    WORKING = "working"
    """*Running*, and its heartbeat comes."""
    SILENT = "silent"
    """*Running*, but its heartbeat stopped, or its process is gone."""
    ASKING = "asking"
    """*Suspended* or *Paused*: it waits for a person."""
    STARTING = "starting"
    """*Pending* or *Submitting*: a worker has taken it."""
    SCHEDULED = "scheduled"
    """*Scheduled*, *Resuming* or *AwaitingRetry*: no worker has taken it yet."""
    CANCELLING = "cancelling"
    CRASHED = "crashed"
    ENDED = "ended"
    """Completed, failed, cancelled or out of time."""
    DELETED = "deleted"


LOST = (Sign.CRASHED, Sign.SILENT)
"""The process of the run is gone."""


class Run(Value):
    """A rollout's flow run, as Prefect shows it."""

    sign: Sign
    state: str
    """Prefect's name of the state."""
    since: datetime
    """When it came into the state, or when its heartbeat was last heard."""
    deployed: bool
    """Whether a worker can take it up again; else it lives and dies with its process."""
    orphaned: bool = False
    """Whether its process is surely gone, as seen from here."""
    unasked: bool = False
    """Whether it waits for an answer to a question that it has not written."""
    left_as_is: bool = False
    """Whether it ended because somebody else changed the endpoint, and a person is to put that right."""


class Act(StrEnum):
    """What the guard does."""

    LEAVE = "leave"
    WAIT = "wait"
    """Look again in a moment."""
    JUDGE = "judge"
    RESUME = "resume"
    ROLL_BACK = "roll back"
    RETIRE = "retire"


class GuardAction(Value):
    """What is to be done about an endpoint, and why, in words."""

    act: Act
    reason: str
    wait_s: float = 0.0
    insists: bool = False
    """Whether it is done although somebody else has changed what the rollout set, as far as it can be."""


def decide(state: EndpointState, record: Record, run: Run | None, now: datetime) -> GuardAction:
    """What the endpoint with this `record` needs; pure, so that it can be decided again at any moment.

    Without a `run`, as where Prefect is away or does not know it, nothing ever goes forward: a candidate that has users
    is judged, and a rollout that is overdue is rolled back.
    """
    match record.phase:
        case Phase.KEEPING | Phase.RETIRING:
            return _promoted(record, run, now)
        case Phase.ROLLING_BACK:
            return _rolling_back(run)
        case Phase.ROLLING:
            action = _overdue(record, run, now) or (_of_run(record, run, now) if run else _leave(record))
    if action.act is Act.LEAVE and state.traffic.get(record.candidate) and not (run and run.sign is Sign.WORKING):
        return GuardAction(act=Act.JUDGE, reason=action.reason)
    return action


def _promoted(record: Record, run: Run | None, now: datetime) -> GuardAction:
    old = record.baseline.live
    if unsettled := _unsettled(run, now):
        return unsettled
    if record.phase is Phase.KEEPING and record.keep_until and now < record.keep_until:
        return GuardAction(act=Act.LEAVE, reason=f"{old} is kept until {clock(record.keep_until)}")
    if run and run.sign is Sign.WORKING:
        return GuardAction(act=Act.LEAVE, reason=f"its run deletes {old}")
    return GuardAction(act=Act.RETIRE, reason=f"the time of {old} is over")


def lost_before_it_began(run: Run, now: datetime) -> str:
    """How a run came to have no process, whose rollout has no record; empty where a worker may yet have it."""
    age_s = (now - run.since).total_seconds()
    match run.sign:
        case Sign.CRASHED if not _unsettled(run, now):
            return "it crashed"
        case Sign.SILENT:
            return f"it has shown no sign of life for {age_s:.0f} s"
        case Sign.STARTING if _is_stuck(run, age_s):
            return f"it has been {run.state} for {age_s:.0f} s"
        case _:
            return ""


def _is_stuck(run: Run, age_s: float) -> bool:
    return age_s > (UNPLACED_S if run.state == UNPLACED else STUCK_S)


def _unsettled(run: Run | None, now: datetime) -> GuardAction | None:
    """To wait where the run has just crashed."""
    if run and run.sign is Sign.CRASHED and (age_s := (now - run.since).total_seconds()) < SETTLING_S:
        return GuardAction(act=Act.WAIT, reason="its flow run has just crashed", wait_s=SETTLING_S - age_s)
    return None


def _rolling_back(run: Run | None) -> GuardAction:
    if run and run.sign is Sign.WORKING:
        return GuardAction(act=Act.LEAVE, reason="its run rolls it back")
    return GuardAction(act=Act.ROLL_BACK, reason="its rollback was cut short")


def _overdue(record: Record, run: Run | None, now: datetime) -> GuardAction | None:
    """The rollback of what has waited or worked for too long; None if it has not."""
    at_work = run is not None and run.sign is Sign.WORKING
    asks = record.asks
    if run and run.sign is Sign.ASKING and asks and asks.until and now > asks.until + timedelta(seconds=LATE_S):
        return GuardAction(act=Act.ROLL_BACK, reason=f"nobody approved {asks.share}% by {clock(asks.until)}")
    paused = run is not None and run.sign is Sign.ASKING and not (asks and asks.until)
    if record.due and now > record.due and not at_work and not paused:
        return GuardAction(act=Act.ROLL_BACK, reason=f"nothing has happened since it was due at {clock(record.due)}")
    return None


def _of_run(record: Record, run: Run, now: datetime) -> GuardAction:
    """What the state of the run asks for."""
    age_s = (now - run.since).total_seconds()
    if unsettled := _unsettled(run, now):
        return unsettled
    match run.sign:
        case Sign.ENDED if run.left_as_is:
            return GuardAction(
                act=Act.LEAVE, reason="a person is to put right what somebody else changed, and to retry it"
            )
        case Sign.DELETED | Sign.ENDED:
            return GuardAction(
                act=Act.ROLL_BACK, reason=f"its flow run is {run.state}", insists=run.state == "Cancelled"
            )
        case Sign.CRASHED:
            return _again(record, run, "its flow run crashed")
        case Sign.SILENT:
            return _silent(record, run, age_s)
        case Sign.STARTING if _is_stuck(run, age_s):
            return _again(record, run, f"its flow run has been {run.state} for {age_s:.0f} s")
        case Sign.CANCELLING:
            return _cancelling(record, run, age_s, now)
        case Sign.ASKING if run.unasked and run.deployed and age_s > STUCK_S:
            return _again(record, run, "it was killed before its question was written")
        case Sign.ASKING:
            return _leave(record)
        case _ if record.is_frozen(now):
            return GuardAction(
                act=Act.LEAVE, reason=f"waits for the end of a freeze at {clock(record.frozen_until or now)}"
            )
        case _:
            return GuardAction(act=Act.LEAVE, reason=f"its flow run is {run.state}")


def _cancelling(record: Record, run: Run, age_s: float, now: datetime) -> GuardAction:
    """What is done about a run that is being cancelled: one that waited without a process has nobody to end it."""
    patience_s = SETTLING_S if record.is_frozen(now) else STUCK_S
    if age_s > patience_s:
        return GuardAction(act=Act.ROLL_BACK, reason=f"its flow run has been {run.state} for {age_s:.0f} s")
    if record.is_frozen(now):
        return GuardAction(act=Act.WAIT, reason="its flow run has just been cancelled", wait_s=patience_s - age_s)
    return GuardAction(act=Act.LEAVE, reason=f"its flow run is {run.state}")


def _silent(record: Record, run: Run, age_s: float) -> GuardAction:
    if run.deployed:
        return _again(record, run, f"its flow run has shown no sign of life for {age_s:.0f} s")
    if age_s < ORPHAN_S:
        return GuardAction(act=Act.LEAVE, reason="its process is gone; the same command can still finish it")
    return GuardAction(act=Act.ROLL_BACK, reason=f"its process has been gone for {age_s:.0f} s")


def _again(record: Record, run: Run, why: str) -> GuardAction:
    """Resume, where a worker can and it has not been tried too often."""
    if not run.deployed:
        return GuardAction(act=Act.ROLL_BACK, reason=f"{why}, and no worker can take it up again")
    if record.resumes >= record.max_resumes:
        return GuardAction(
            act=Act.ROLL_BACK, reason=f"{why}, after it had begun again {plural(record.resumes, 'time')}"
        )
    return GuardAction(act=Act.RESUME, reason=why)


def _leave(record: Record) -> GuardAction:
    if asks := record.asks:
        until = f" until {clock(asks.until)}" if asks.until else ""
        return GuardAction(act=Act.LEAVE, reason=f"waits for a person to approve {asks.share}%{until}")
    return GuardAction(act=Act.LEAVE, reason=f"under way, with the candidate at {record.share}%")
