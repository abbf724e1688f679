"""The messages that people get while a rollout goes on, in plain text: a title, and a few lines below it."""

from collections.abc import Sequence
from datetime import datetime

from saferollout.config.notify import Event
from saferollout.domain.endpoint import Decision, Value
from saferollout.domain.evidence import Evidence
from saferollout.domain.text import one_line
from saferollout.domain.words import clock
from saferollout.report.outcome import Outcome

LONGEST = 300
"""How many characters of a line are sent."""


class Message(Value):
    """A message about a rollout."""

    event: Event
    key: str
    """What sets it apart from the run's other messages about the same event: each is sent once."""
    title: str
    lines: tuple[str, ...] = ()

    def text(self, link: str) -> str:
        """All below the title, each line in one line and not too long; with the link to the run, if there is one."""
        return "\n".join(_short(line) for line in (*self.lines, f"Run: {link}" if link else "") if line)

    @property
    def short_title(self) -> str:
        """The title in one line."""
        return _short(self.title)


def _short(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def verdict_line(evidence: Sequence[Evidence]) -> str:
    """The last gate's finding in one line; empty without one."""
    return f"{evidence[-1].gate}: {evidence[-1].verdict} — {evidence[-1].summary}" if evidence else ""


def _answer_with(endpoint: str) -> str:
    return f"Answer: saferollout approve {endpoint} (or reject)"


def question_message(
    endpoint: str, key: str, question: str, evidence: Sequence[Evidence], until: datetime | None = None, note: str = ""
) -> Message:
    """It asks for an approval, until a moment if it does not ask without end; a `note` must be read first."""
    open_until = f"Open until {clock(until)}" if until else ""
    lines = (note, verdict_line(evidence), open_until, _answer_with(endpoint))
    return Message(event=Event.WAITING, key=key, title=f"⏳ {question}", lines=lines)


def answer_message(endpoint: str, decision: Decision) -> Message:
    """A person, or `auto`, has answered."""
    mark, done = ("👍", "approved") if decision.decision == "approve" else ("👎", "rejected")
    title = f"{mark} {decision.approver} {done} {decision.share}% of the traffic of {endpoint}"
    key = f"{decision.share}-{decision.evidence}-{decision.decision}"
    return Message(event=Event.ANSWERED, key=key, title=title, lines=(decision.comment,))


def change_message(endpoint: str, share: int, digest: str, change: str) -> Message:
    """Somebody else changed the candidate while its question is open; `digest` says what it is made of now."""
    title = f"⚠️ {endpoint}: {change}"
    line = f"An approval of {share}% no longer counts: after the answer the candidate is tested anew"
    return Message(event=Event.WAITING, key=f"changed-{share}-{digest}", title=title, lines=(line,))


def reminder(endpoint: str, share: int, since: datetime, until: datetime, evidence: Sequence[Evidence] = ()) -> Message:
    """Its question is about to expire."""
    title = f"⏰ Nobody has answered yet whether {endpoint} may go to {share}%: it rolls back at {clock(until)}"
    lines = (f"Asked at {clock(since)}", verdict_line(evidence), _answer_with(endpoint))
    return Message(event=Event.REMINDER, key=f"{share}-{since:%Y%m%dT%H%M%S}", title=title, lines=lines)


def closing_message(outcome: Outcome, asked: int | None) -> Message:
    """The guard has rolled it back; a question for a share that was `asked` can no longer be answered."""
    question = f"The question about {asked}% can no longer be answered" if asked else ""
    return _end(Event.CLOSED, outcome, question)


def end_message(outcome: Outcome) -> Message:
    """It is promoted or rolled back."""
    return _end(Event.ENDED, outcome)


def _end(event: Event, outcome: Outcome, *lines: str) -> Message:
    mark, done = ("✅", "promoted") if outcome.outcome == "promoted" else ("↩️", "rolled back")
    title = f"{mark} {outcome.endpoint}: {outcome.candidate} {done}: {outcome.reason}"
    traffic = " ".join(f"{name}={share}" for name, share in sorted(outcome.traffic.items()))
    ignored = f"Freeze windows were ignored by {outcome.freeze_ignored}" if outcome.freeze_ignored else ""
    return Message(
        event=event,
        key=outcome.rollout,
        title=title,
        lines=(*lines, verdict_line(outcome.evidence), f"Traffic now: {traffic}", outcome.hold, ignored),
    )


def failed_rollback_message(endpoint: str, why: str) -> Message:
    """The rollback failed: a person is needed."""
    return Message(event=Event.ENDED, key="not-rolled-back", title=f"🚨 {endpoint}: {why}")


def cancellation_message(endpoint: str, candidate: str) -> Message:
    """Somebody cancelled its run in Prefect."""
    title = f"↩️ {endpoint}: {candidate} rolled back: the run was cancelled in Prefect"
    return Message(event=Event.ENDED, key="cancelled", title=title)
