"""Evidence: the numbers behind a verdict or a gate, kept by Prefect and shown to whoever decides."""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from saferollout.domain.composition import Composition
from saferollout.domain.endpoint import Decision, Value
from saferollout.domain.text import as_markdown

_MARKS = {True: "✅", False: "❌", None: "·"}


class GateVerdict(StrEnum):
    """What a gate found: a smoke test says *passed*, *failed* or *undecided*, the judge one of the last three."""

    PASSED = "passed"
    FAILED = "failed"
    HEALTHY = "healthy"
    HARMFUL = "harmful"
    UNDECIDED = "undecided"
    SKIPPED = "skipped"
    """By a person who did not want to wait for the judge."""


class Check(Value):
    """One line of a gate's table."""

    check: str
    passed: bool | None
    """None where the line only informs."""
    candidate: str
    live: str
    limit: str
    note: str = ""
    """What it means, in a sentence; too long for a table."""


class Picture(Value):
    """A plot and the numbers behind it."""

    name: str
    title: str
    svg: str
    """An `<svg>` element; empty where only the numbers are kept."""
    numbers: dict[str, Any]


class Evidence(Value):
    """What a gate found."""

    gate: str
    verdict: GateVerdict
    summary: str
    """The finding in one sentence."""
    checks: list[Check] = Field(default=[])
    duration_s: float = 0.0
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    """The moment of the verdict."""
    cut_points_ms: list[float] = Field(default=[])
    """Quantiles of the live deployment's latency before the candidate had any traffic."""
    state: dict[str, Any] = Field(default={})
    """The judge's state, from which the next stage goes on."""
    skip: Decision | None = None
    """Who let the judge be skipped, when and why."""
    made_of: Composition | None = None
    """What the candidate was made of just before the smoke test; None in other gates' evidence."""
    pictures: list[Picture] = Field(default=[])
    """How the judge came to its verdict."""

    def for_programs(self) -> "Evidence":
        """The finding with its numbers, without what only this rollout or a person's eye needs."""
        bare = [picture.model_copy(update={"svg": ""}) for picture in self.pictures]
        return self.model_copy(update={"state": {}, "pictures": bare})

    def table(self) -> list[dict[str, str]]:
        """The checks as rows of a table."""
        return [
            {
                "": _MARKS[check.passed],
                "check": check.check,
                "candidate": check.candidate,
                "live": check.live,
                "limit": check.limit,
            }
            for check in self.checks
        ]

    @property
    def headline(self) -> str:
        """The finding in one sentence, as markdown."""
        return f"**{self.gate}: {self.verdict}** — {as_markdown(self.summary)}"

    @property
    def details(self) -> str:
        """The gate's table, and what its lines mean, under its name."""
        notes = "".join(f"- {check.check}: {as_markdown(check.note)}\n" for check in self.checks if check.note)
        table = markdown_table(self.table()) + ("\n" + notes if notes else "")
        return f"**{self.gate}**\n\n{table}"


def headlines(found: Iterable[Evidence]) -> str:
    """What all gates found, a sentence each, as a list in markdown."""
    return "\n".join(f"- {evidence.headline}" for evidence in found)


def markdown_table(rows: list[dict[str, str]]) -> str:
    """Rows with the same keys as a markdown table."""
    if not rows:
        return ""
    lines = [[as_markdown(cell) for cell in line] for line in (rows[0], *(row.values() for row in rows))]
    lines.insert(1, ["---"] * len(rows[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
