"""Status: how an endpoint's rollout is, from Azure first and Prefect second."""

from datetime import datetime

from pydantic import Field

from saferollout.domain.endpoint import EndpointState, Value, describe
from saferollout.domain.errors import Refused
from saferollout.domain.evidence import Evidence
from saferollout.domain.text import as_markdown
from saferollout.domain.words import clock, plural
from saferollout.rollout import drift
from saferollout.rollout.guard import Act, Run, decide
from saferollout.rollout.hold import Hold
from saferollout.rollout.record import Phase, Record

BAR = 25


class DeploymentStatus(Value):
    """A deployment of the endpoint."""

    name: str
    role: str
    """`live`, `candidate`, `kept`, or empty."""
    traffic: int
    """The deployment's share of the users' requests, in percent."""
    instance_count: int
    state: str
    model: str

    @property
    def facts(self) -> tuple[str, ...]:
        """What it serves, as what, and its state if that is not as it should be."""
        return self.model, self.role, "" if self.state == "Succeeded" else self.state


class Status(Value):
    """How an endpoint is, and the rollout on it."""

    endpoint: str
    traffic: dict[str, int]
    mirror_traffic: dict[str, int] = Field(default={})
    deployments: list[DeploymentStatus]
    rollout: str = ""
    """The rollout's id; empty where there is none."""
    phase: Phase | None = None
    share: int = 0
    """The candidate's traffic that has been reached, in percent."""
    owner: str = ""
    since: datetime | None = None
    waits_for: str = ""
    waits_since: datetime | None = None
    waits_until: datetime | None = None
    frozen_until: datetime | None = None
    """When the freeze is over whose end it waits for; None where it does not."""
    next: str
    """What comes next, and who does it."""
    resumes: int = 0
    guarded: datetime | None = None
    flow_run: str = ""
    run_state: str = ""
    """Prefect's name of the run's state; empty where Prefect was not asked or does not know the run."""
    change: str = ""
    """What somebody else has changed of the candidate since its gates began."""
    verdict: str = ""
    """The last gate's finding in a sentence."""
    hold: str = ""
    """Which revision is held, since when and why; empty where none is."""

    @property
    def text(self) -> str:
        """All of it for a person, in markdown."""
        lines = [f"# {as_markdown(self.endpoint)}", self._bars()]
        if self.mirror_traffic:
            lines.append(f"Mirrored: {as_markdown(describe(self.mirror_traffic))}")
        if self.rollout and self.since:
            where = f" · flow run {self.flow_run}" + (f" ({self.run_state})" if self.run_state else "")
            what = f"Rollout {self.rollout}: **{self.phase}**, candidate at {self.share}%"
            lines.append(f"{what}, by {as_markdown(self.owner)} since {clock(self.since)}{where}")
        if self.waits_for and self.waits_since:
            until = f" until {clock(self.waits_until)}" if self.waits_until else ""
            lines.append(f"⏳ Waits for {self.waits_for} since {clock(self.waits_since)}{until}")
        if self.frozen_until:
            lines.append(f"❄️ Nothing is shifted until {clock(self.frozen_until)}: a freeze window of its config")
        if self.change:
            lines.append(f"⚠️ {as_markdown(self.change)}; an approval of what was shown no longer counts")
        if self.verdict:
            lines.append(as_markdown(self.verdict))
        if self.hold:
            lines.append(f"⛔ {as_markdown(self.hold)}")
        if self.resumes:
            lines.append(f"Its run began again {plural(self.resumes, 'time')}")
        if self.guarded:
            lines.append(f"The guard looked at {clock(self.guarded)} or later")
        return "\n\n".join([*lines, f"Next: {as_markdown(self.next)}"])

    def _bars(self) -> str:
        width = max((len(found.name) for found in self.deployments), default=0)
        rows = [
            f"{found.name:{width}} {'█' * round(found.traffic * BAR / 100):░<{BAR}} {found.traffic:3}%  "
            + "  ".join(filter(None, (plural(found.instance_count, "instance"), *found.facts)))
            for found in self.deployments
        ]
        return "\n".join(["```", *rows, "```"])


def status_of(
    state: EndpointState, record: Record | None, run: Run | None, evidence: Evidence | None, now: datetime
) -> Status:
    """The status of an endpoint; `run` and `evidence` are what Prefect knows of its rollout, None if nothing."""
    roles = _roles(state, record)
    deployments = [
        DeploymentStatus(
            name=name,
            role=roles.get(name, ""),
            traffic=state.traffic.get(name, 0),
            instance_count=found.instance_count,
            state=found.provisioning_state,
            model=found.model,
        )
        for name, found in sorted(state.deployments.items())
    ]
    known = {
        "endpoint": state.name,
        "traffic": state.traffic,
        "mirror_traffic": state.mirror_traffic,
        "hold": _hold(state.tags),
    }
    if record is None:
        return Status(**known, deployments=deployments, next="nothing: no rollout is under way")
    frozen = record.unfinished and record.is_frozen(now)
    asks = record.asks if record.unfinished and not frozen else None
    return Status(
        **known,
        deployments=deployments,
        rollout=record.rollout,
        phase=record.phase,
        share=record.share,
        owner=record.owner.name,
        since=record.since,
        waits_for=f"a person to approve {asks.share}%" if asks else "",
        waits_since=asks.since if asks else None,
        waits_until=asks.until if asks else None,
        frozen_until=record.frozen_until if frozen else None,
        next=_next(state, record, run, now),
        resumes=record.resumes,
        guarded=record.guarded,
        flow_run=record.owner.flow_run,
        run_state=run.state if run else "",
        change=_change(state, record),
        verdict=f"{evidence.gate}: {evidence.verdict} — {evidence.summary}" if evidence else "",
    )


def _change(state: EndpointState, record: Record) -> str:
    change = drift.change_of(state, record) if record.phase is Phase.ROLLING else None
    return change.words if change else ""


def _hold(tags: dict[str, str]) -> str:
    try:
        hold = Hold.from_tags(tags)
    except Refused as damaged:
        return str(damaged)
    return hold.why() if hold and hold.holds(hold.revision) else ""


def _roles(state: EndpointState, record: Record | None) -> dict[str, str]:
    if record is None:
        return {name: "live" for name, share in state.traffic.items() if share == 100}
    if record.unfinished:
        return {record.baseline.live: "live", record.candidate: "candidate"}
    return {record.baseline.live: "kept", record.candidate: "live"}


def _next(state: EndpointState, record: Record, run: Run | None, now: datetime) -> str:
    """What comes next, in words."""
    action = decide(state, record, run, now)
    match action.act:
        case Act.LEAVE | Act.JUDGE:
            if record.asks and record.phase is Phase.ROLLING and not record.is_frozen(now):
                command = f"`saferollout approve {state.name}`, or `reject`"
                return f"{command}; the guard judges the candidate meanwhile" if record.share else command
            return action.reason
        case Act.RESUME | Act.WAIT:
            return f"the guard has the run begin again: {action.reason}"
        case Act.ROLL_BACK:
            return f"the guard rolls back: {action.reason}"
        case Act.RETIRE:
            return f"{record.baseline.live} is deleted: {action.reason}"
