"""What became of a rollout: the report for people, JSON for programs."""

from datetime import UTC, datetime

import pytest
from markdown_it import MarkdownIt

from saferollout.domain.endpoint import Decision
from saferollout.domain.evidence import Check, Evidence, GateVerdict
from saferollout.report.outcome import Outcome, StepRun, seconds

PROMOTED = Outcome(
    outcome="promoted",
    reason="green serves all traffic",
    endpoint="diabetes",
    rollout="r-1",
    live="green",
    candidate="green",
    model="diabetes:2",
    environment="sklearn:3",
    inputs={"recorded requests": "142 (`0123456789ab`)", "config": "`ba9876543210`"},
    traffic={"green": 100},
    instance_counts={"green": 2},
    decisions=[
        Decision(
            share=10,
            decision="approve",
            approver="ann",
            comment="fine | go\nnow",
            at=datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC),
            evidence="0123456789ab",
        ),
    ],
    verdicts=[
        Evidence(
            gate="judge at 10%",
            verdict=GateVerdict.HEALTHY,
            summary="no worse than live",
            checks=[Check(check="errors", passed=True, candidate="0", live="1", limit="")],
        ),
    ],
    steps=[StepRun(name="shift traffic to 10%", state="Completed", duration_s=2.4, attempts=2)],
    duration_s=190,
    waiting_s=65,
)


def test_a_report_has_all_that_happened() -> None:
    """Outcome, reason, findings in a sentence, traffic, time, tables, decisions and steps, in this order."""
    assert PROMOTED.report == "\n\n".join(
        [
            "# ✅ Promoted: diabetes",
            "**green serves all traffic**",
            "- **judge at 10%: healthy** — no worse than live",
            "Traffic now: **green=100** · candidate green · rollout r-1",
            (
                "Deployed and judged: model diabetes:2 · environment sklearn:3 · "
                "recorded requests 142 (`0123456789ab`) · config `ba9876543210`"
            ),
            "Took 3 min 10 s, of which 1 min 5 s waiting for a person.",
            "**judge at 10%**",
            "|  | check | candidate | live | limit |\n| --- | --- | --- | --- | --- |\n| ✅ | errors | 0 | 1 |  |\n",
            "## Decisions",
            (
                "| traffic | decision | by | proven | at | comment | evidence |\n"
                "| --- | --- | --- | --- | --- | --- | --- |\n"
                "| 10% | approve | ann | self-declared | 2025-01-02 03:04:05 UTC | fine \\| go now | 0123456789ab |\n"
            ),
            "## Steps",
            (
                "| step | state | took | attempts |\n| --- | --- | --- | --- |\n"
                "| shift traffic to 10% | Completed | 2 s | 2 |\n"
            ),
        ]
    )


def test_a_rollback_says_so_first() -> None:
    """Nobody takes a rollback for a promotion, what to do next is said, and empty chapters are left out."""
    outcome = Outcome(
        outcome="rolled_back",
        reason="ann rejected 10%",
        endpoint="diabetes",
        traffic={"blue": 100},
        instance_counts={"blue": 1, "green": 1},
        candidate="green",
        rollout="r-1",
    )

    lines = outcome.report.splitlines()

    assert lines[0] == "# ↩️ Rolled back: diabetes"
    assert "**ann rejected 10%**" in lines
    assert "Traffic now: **blue=100** · candidate green · rollout r-1" in lines
    (following,) = (line for line in lines if line.startswith("Next: "))
    assert "get-logs --endpoint-name diabetes --name green" in following
    assert not any(line.startswith("##") for line in lines)


def test_nothing_to_do_is_no_promotion() -> None:
    """Where live is this revision already, the title says so, and there is no candidate, rollout or time to report."""
    outcome = Outcome(
        outcome="nothing_to_do",
        reason="green is this revision already; nothing to do",
        endpoint="diabetes",
        live="green",
        model="diabetes:2",
        inputs={"config": "`ba9876543210`"},
        traffic={"green": 100},
        instance_counts={"green": 2},
    )

    assert outcome.report.split("\n\n") == [
        "# ✅ Nothing to do: diabetes",
        "**green is this revision already; nothing to do**",
        "Traffic now: **green=100**",
        "Live: model diabetes:2 · config `ba9876543210`",
    ]


def test_an_outcome_survives_json() -> None:
    """What Prefect keeps, or a program reads, is the outcome; its report can be written again from it."""
    again = Outcome.model_validate_json(PROMOTED.model_dump_json())

    assert again == PROMOTED
    assert again.report == PROMOTED.report


@pytest.mark.parametrize(
    ("duration_s", "words"),
    [
        (0, "0 s"),
        (42.4, "42 s"),
        (59.6, "1 min 0 s"),
        (185, "3 min 5 s"),
        (3599.7, "1 h 0 min"),
        (7859, "2 h 10 min"),
        (100_000, "27 h 46 min"),
    ],
)
def test_durations_in_words(duration_s: float, words: str) -> None:
    """A duration never reads as 60 seconds or 60 minutes."""
    assert seconds(duration_s) == words


def test_a_comment_makes_no_report_of_its_own() -> None:
    """What a person wrote, and what Azure calls things, is shown as it is and makes no heading, table or link."""
    comment = "no\n\n# ✅ Promoted: diabetes\n\n| errors |\n| --- |\n<b>0</b> \x1b]0;x\x07"
    report = PROMOTED.model_copy(
        update={"outcome": "rolled_back", "reason": f"ann rejected 10%: {comment}", "model": "[m](http://x):1"}
    ).report

    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(report)

    headings = [tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"]
    assert headings == ["↩️ Rolled back: diabetes", "Decisions", "Steps"]
    assert len([token for token in tokens if token.type == "table_open"]) == 3
    parts = [part for token in tokens for part in token.children or []]
    assert not [part for part in parts if part.type in ("link_open", "html_inline", "image")]
    assert "\x1b" not in report
