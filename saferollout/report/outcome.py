"""What became of a rollout, for people (markdown) and for programs (JSON)."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, Field

from saferollout.domain.endpoint import Decision, Value, describe
from saferollout.domain.evidence import Evidence, headlines, markdown_table
from saferollout.domain.text import as_markdown

_TITLES = {"promoted": "✅ Promoted", "rolled_back": "↩️ Rolled back", "nothing_to_do": "✅ Nothing to do"}


class StepRun(Value):
    """One step as it went."""

    name: str
    state: str
    duration_s: float
    at: datetime | None = None
    """When it began; None where it never did."""
    attempts: int


DONE_BEFORE = " (already done)"
"""How the names of steps end that are looked at again after a suspension."""


def once(runs: Iterable[StepRun]) -> list[StepRun]:
    """Each step once, in order: what ran again after a suspension had nothing left to do."""
    steps: dict[str, StepRun] = {}
    for run in runs:
        if run.name.endswith(DONE_BEFORE) and run.state in ("Completed", "Cached"):
            continue
        if run.name not in steps or steps[run.name].state != "Completed":
            steps[run.name] = run
    return list(steps.values())


class Outcome(Value):
    """What became of a rollout."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    outcome: Literal["promoted", "rolled_back", "nothing_to_do"]
    reason: str
    endpoint: str
    rollout: str = ""
    live: str = ""
    """The deployment that serves the users now."""
    candidate: str = ""
    model: str = ""
    """The model that the candidate serves, or live where there was nothing to do, with its version."""
    environment: str = ""
    """The environment that it runs in, with its version."""
    inputs: dict[str, str] = Field(default={})
    """What every gate worked with: recorded requests, answer schema and config, with their digests."""
    hold: str = ""
    """That the revision is held from now on, and who rolled it out although it was held before."""
    change: str = ""
    """What somebody else changed of the candidate meanwhile; empty if nothing."""
    freeze_ignored: str = ""
    """Who had it go on in freeze windows, and why; empty where it waited for their end."""
    traffic: dict[str, int]
    instance_counts: dict[str, int]
    requester: str = ""
    """Who wanted the rollout, in a sentence that says what the name is worth."""
    decisions: list[Decision] = Field(default=[])
    evidence: list[Evidence] = Field(default=[], alias="verdicts")
    steps: list[StepRun] = Field(default=[])
    duration_s: float = 0.0
    waiting_s: float = 0.0
    """How much of the duration a person's answer took."""

    @property
    def report(self) -> str:
        """The report in markdown."""
        rollout = ""
        if self.rollout:
            rollout = f" · candidate {as_markdown(self.candidate)} · rollout {as_markdown(self.rollout)}"
        lines = [
            f"# {_TITLES[self.outcome]}: {as_markdown(self.endpoint)}",
            f"**{as_markdown(self.reason)}**",
            *([headlines(self.evidence)] if self.evidence else []),
            f"Traffic now: **{as_markdown(describe(self.traffic))}**{rollout}",
            *([as_markdown(self.hold)] if self.hold else []),
            *([f"⚠️ {as_markdown(self.change)}"] if self.change else []),
            *([f"⚠️ Freeze windows were ignored by {as_markdown(self.freeze_ignored)}"] if self.freeze_ignored else []),
            *self._next(),
            *self._deployed(),
            *([self._took()] if self.rollout else []),
            *([as_markdown(self.requester)] if self.requester else []),
            *(evidence.details for evidence in self.evidence),
        ]
        if self.decisions:
            rows = [_decision_row(given) for decision in self.decisions for given in decision.all]
            lines += ["## Decisions", markdown_table(rows)]
        if self.steps:
            lines += ["## Steps", markdown_table([_step_row(step) for step in self.steps])]
        return "\n\n".join(lines)

    def _next(self) -> list[str]:
        """What to do about a candidate that a rollback has kept."""
        if self.outcome != "rolled_back" or self.candidate not in self.instance_counts:
            return []
        logs = f"az ml online-deployment get-logs --endpoint-name {self.endpoint} --name {self.candidate}"
        return [f"Next: `{logs}` prints what the candidate wrote; mend it and repeat the command, which makes it anew."]

    def _took(self) -> str:
        return f"Took {seconds(self.duration_s)}, of which {seconds(self.waiting_s)} waiting for a person."

    def _deployed(self) -> list[str]:
        known = {"model": as_markdown(self.model), "environment": as_markdown(self.environment), **self.inputs}
        said = " · ".join(f"{name} {value}" for name, value in known.items() if value)
        return [f"{'Deployed and judged' if self.rollout else 'Live'}: {said}"] if said else []


def seconds(duration_s: float) -> str:
    """A duration as people say it: `42 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = round(duration_s)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _decision_row(decision: Decision) -> dict[str, str]:
    return {
        "traffic": f"{decision.share}%",
        "decision": decision.decision,
        "by": decision.approver,
        "proven": "self-declared" if decision.proof == "none" else decision.proof,
        "at": f"{decision.at:%Y-%m-%d %H:%M:%S %Z}",
        "comment": decision.comment,
        "evidence": decision.evidence,
    }


def _step_row(step: StepRun) -> dict[str, str]:
    return {
        "step": step.name,
        "state": step.state,
        "took": seconds(step.duration_s),
        "attempts": str(step.attempts),
    }
