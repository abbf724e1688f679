"""Plan: what a rollout would do now, without doing any of it."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from saferollout.approvals.freeze import next_freeze
from saferollout.azure.workspace import Workspace
from saferollout.config.project import Project
from saferollout.config.rollout import Auto, StageConfig
from saferollout.domain.endpoint import Value
from saferollout.domain.errors import Taken
from saferollout.domain.text import as_markdown
from saferollout.domain.words import clock, plural
from saferollout.report.outcome import seconds
from saferollout.rollout.begin import draft
from saferollout.rollout.hold import check_hold
from saferollout.rollout.lock import rival, who_has_it
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import Record
from saferollout.rollout.rollout import Rollout


class Plan(Value):
    """What would be done, step by step."""

    outcome: Literal["planned", "nothing_to_do"]
    endpoint: str
    reason: str
    """The plan in a line."""
    revision: str
    model: str
    """What the candidate would serve; empty where the YAML names no model."""
    live: str = ""
    """The deployment that serves the users now."""
    live_model: str = ""
    candidate: str = ""
    """The deployment that would be made; empty where there is nothing to do."""
    steps: list[str] = Field(default=[])

    @property
    def report(self) -> str:
        """All of it in markdown."""
        title = "📋 Plan" if self.steps else "✅ Nothing to do"
        steps = "\n".join(f"{number}. {as_markdown(step)}" for number, step in enumerate(self.steps, 1))
        parts = [f"# {title}: {as_markdown(self.endpoint)}", f"**{as_markdown(self.reason)}**", steps]
        return "\n\n".join(filter(None, parts))


def make_plan(workspace: Workspace, project: Project, owner: Owner, now: datetime) -> Plan:
    """What a rollout of the project would do now; whether the candidate is any good nobody knows before.

    Raises:
        Taken: Another rollout of the endpoint is under way.
        Refused: The endpoint is not in a state for a rollout, or the revision is held.
        AzureFailed: The endpoint's key cannot be had.
    """
    state = workspace.get_endpoint(project.endpoint)
    known = {"endpoint": project.endpoint, "revision": project.revision, "model": project.model}
    left = Record.from_tags(state.tags)
    if left and left.unfinished:
        if left.revision == project.revision:
            reason = f"{project.label} is being rolled out already, by {left.owner.name}"
            return Plan(outcome="nothing_to_do", reason=reason, **known)
        raise Taken(who_has_it(project.endpoint, left), **rival(left))
    record = draft(workspace, project, owner, state)
    if record is None:
        live = next(iter(state.traffic))
        reason = f"{live} is this revision already"
        return Plan(outcome="nothing_to_do", reason=reason, live=live, **known)
    check_hold(state.tags, project.endpoint, project.revision, again="")
    rollout = Rollout.of(project, record)
    return Plan(
        outcome="planned",
        reason=f"{project.label} would take over from {record.live_model or rollout.live}, as {rollout.candidate}",
        live=rollout.live,
        live_model=record.live_model,
        candidate=rollout.candidate,
        steps=_steps(rollout, now, is_there=rollout.candidate in state.deployments),
        **known,
    )


def _steps(rollout: Rollout, now: datetime, *, is_there: bool) -> list[str]:
    config = rollout.project.config
    live, before = rollout.live_instance_count, rollout.baseline.instance_count
    total = rollout.project.recorded.total
    steps = [f"Scale {rollout.live} from {before} to {plural(live, 'instance')}."] if live > before else []
    made = f"{rollout.candidate} with {rollout.project.label} at 0% of the traffic"
    steps.append(f"Replace {made}, in the place of what is there." if is_there else f"Create {made}.")
    steps.append(f"Smoke test: {min(config.smoke_test.sample, total)} of {plural(total, 'recorded request')}.")
    if shadow := config.shadow:
        judged = seconds(shadow.judge.min_duration_s)
        steps.append(f"Mirror {shadow.mirror}% of the traffic, and judge for {judged} at least.")
    steps += [_stage(stage) for stage in config.stages]
    kept = f"Keep {rollout.live} at 0% for {seconds(config.retire.keep_s)}, then delete it."
    steps.append(kept if config.retire.keep_s else f"Delete {rollout.live}.")
    if freeze := next_freeze(config.freeze, now):
        steps.append(f"No shift from {clock(freeze.since)} until {clock(freeze.until)} ({freeze.why}).")
    return steps


def _stage(stage: StageConfig) -> str:
    asked = f"a person approves, within {seconds(stage.approval_timeout_s)}" if stage.approval else "nobody is asked"
    if stage.approval and stage.auto is Auto.HEALTHY:
        asked = "without a question if the last verdict is healthy, else " + asked
    return f"{stage.traffic}% of the traffic: {asked}; judge for {seconds(stage.judge.min_duration_s)} at least."
