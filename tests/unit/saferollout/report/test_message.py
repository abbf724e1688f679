"""The messages that people get: what they need in few lines, whatever others have typed into it."""

from datetime import UTC, datetime, timedelta

import pytest

from saferollout.config.notify import NotifyConfig
from saferollout.domain.endpoint import Decision
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.report.message import (
    LONGEST,
    answer_message,
    change_message,
    closing_message,
    end_message,
    question_message,
    reminder,
)
from saferollout.report.outcome import Outcome
from saferollout.rollout.record import OpenQuestion
from tasks.remind import expires_soon

NOON = datetime(2026, 7, 3, 12, tzinfo=UTC)
HARM = Evidence(gate="guard at 10%", verdict=GateVerdict.HARMFUL, summary="errors rose from 0.5% to 9%")
OUTCOME = Outcome(
    outcome="rolled_back",
    reason="green went bad at 10%",
    endpoint="shop",
    rollout="r-1",
    candidate="green",
    traffic={"blue": 100},
    instance_counts={"blue": 2},
    evidence=[HARM],
    freeze_ignored="Ann: hotfix",
)


def test_a_question_says_what_was_found_until_when_and_how_to_answer() -> None:
    """All of it below the question, with the link."""
    text = question_message("shop", "10", "Give green 10%?", [HARM], NOON).text("http://prefect/run")

    assert text.splitlines() == [
        "guard at 10%: harmful — errors rose from 0.5% to 9%",
        "Open until 2026-07-03 12:00:00 UTC",
        "Answer: saferollout approve shop (or reject)",
        "Run: http://prefect/run",
    ]


def test_a_changed_candidate_is_said_once_for_each_change() -> None:
    """While its question is open, and on top of the next one."""
    said = change_message("shop", 10, "a" * 12, "deployment green is no longer what was tested")

    assert said.title == "⚠️ shop: deployment green is no longer what was tested"
    assert said.text("") == "An approval of 10% no longer counts: after the answer the candidate is tested anew"
    assert said.key != change_message("shop", 10, "b" * 12, "deployment green is no longer what was tested").key
    assert (
        question_message("shop", "10", "Give green 10%?", [HARM], note="It was changed.").lines[0] == "It was changed."
    )


def test_what_the_guard_closed_takes_no_answer() -> None:
    """Nobody is left looking for the form; an override of a freeze is reported, too."""
    text = closing_message(OUTCOME, 100).text("")

    assert "The question about 100% can no longer be answered" in text
    assert "harmful — errors rose" in text
    assert "Traffic now: blue=100" in text
    assert "Freeze windows were ignored by Ann: hotfix" in text
    assert "no answer" not in end_message(OUTCOME).text("")


def test_what_people_typed_breaks_no_message() -> None:
    """Lines, controls and length of a comment are bounded."""
    comment = "\x1b[31mred\n\nRun: http://evil\u202e" + "x" * 1000
    said = answer_message(
        "shop", Decision(share=10, decision="reject", approver=comment, comment=comment, at=NOON, evidence="0" * 12)
    )

    for line in (said.short_title, *said.text("").splitlines()):
        assert len(line) <= LONGEST
        assert line.isprintable()
    assert len(said.text("").splitlines()) == 1


@pytest.mark.parametrize(
    ("open_s", "left_s", "is_time"),
    [(86400, 7200, False), (86400, 3599, True), (86400, 0, False), (3600, 60, False), (3601, 60, True)],
)
def test_a_reminder_comes_shortly_before_the_end(open_s: int, left_s: int, is_time: bool) -> None:
    """And never for a question that is open for no longer than that anyway, or without end, or over."""
    notify = NotifyConfig(urls=("${TEAM_CHAT}",))
    asks = OpenQuestion(share=10, since=NOON, until=NOON + timedelta(seconds=open_s))
    moment = NOON + timedelta(seconds=open_s - left_s)

    assert expires_soon(notify, asks, moment) == is_time
    assert not expires_soon(notify, asks.model_copy(update={"until": None}), moment)


def test_a_reminder_says_what_happens_otherwise() -> None:
    """When it rolls back, and since when it was asked."""
    said = reminder("shop", 10, NOON, NOON + timedelta(days=1), [HARM])

    assert said.title.endswith("it rolls back at 2026-07-04 12:00:00 UTC")
    assert "Asked at 2026-07-03 12:00:00 UTC" in said.text("")
