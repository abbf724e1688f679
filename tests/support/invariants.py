"""A rollout on Azure's twin, and what must hold after each call."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from saferollout.azure.memory_state import Endpoint
from saferollout.azure.port import Resource
from saferollout.azure.workspace import Workspace
from saferollout.config.rollout import LeftCandidate
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import AzureFailed, Refused, SaferolloutError
from saferollout.rollout.begin import begin
from saferollout.rollout.hold import Hold
from saferollout.rollout.record import PREFIX, TAG_HELD, Phase, Record, without_record
from saferollout.rollout.rollout import TAG_REVISION, Rollout
from tests.support.twin import (
    OWNERS,
    SHARES,
    SLOTS,
    capacity,
    look,
    make_endpoint,
    make_project,
    traffic_of,
)

T = TypeVar("T")


AT = datetime(2025, 1, 2, tzinfo=UTC)


LOST = "a lost process"
"""Whose work somebody else was given, though it may be alive."""
MIRROR = 10
"""How much the shadow stage mirrors, where there is one."""


class Killed(BaseException):
    """A process is killed right after a change, in the middle of its step."""


names = st.sampled_from([*SLOTS, "red"])


owners = st.sampled_from(["ann", "bob"])


counts = st.integers(1, 4)


@dataclass
class Run:
    """A flow run as the machine drives it: gates come before shares, as the flow sees to."""

    rollout: Rollout
    passed: Resource | None = None
    """What the smoke test last found good."""
    digest: str = ""
    """Of the candidate as it was then: whoever approves it has seen that."""
    reached: int = 0
    decisions: dict[int, Decision] = field(default_factory=dict)
    done: int = 0
    """How many of the flow's steps."""

    @property
    def next_share(self) -> int:
        """The share that is to be reached next."""
        return next((share for share in SHARES if share > self.reached), SHARES[-1])


class Checked(RuleBasedStateMachine):
    """The steps of a run, and the invariants that are checked after each; most rules are for a class above it."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[str, Run] = {}
        self.settings: dict[str, Any] = {}
        self.at_work: Run | None = None
        self.is_working = self.is_forced = self.is_held_anew = False
        self.changes = 0
        self.killed_after = 0
        """After how many more changes whoever is at work is killed, if it is doomed."""
        self.is_doomed = False
        self.is_tampered = False
        """Whether somebody else has changed the record."""
        self.candidate = ""
        self.kept = ""
        """The old deployment that may be deleted now."""
        self.held = ""
        """The revision that is held."""

    @initialize(
        live=st.sampled_from(SLOTS),
        count=counts,
        raised_to=st.none() | counts,
        left=st.sampled_from(LeftCandidate),
        shadow=st.none() | st.just({"mirror": MIRROR}),
        begins=st.sampled_from([True, True, True, False]),
    )
    def bootstrap(
        self,
        live: str,
        count: int,
        raised_to: int | None,
        left: LeftCandidate,
        shadow: dict[str, int] | None,
        begins: bool,
    ) -> None:
        """An endpoint with one deployment, and often a rollout on it."""
        self.settings = {"live": {"instance_count": raised_to}, "rollback": {"candidate": left}, "shadow": shadow}
        self.memory = make_endpoint(live, count)
        self.azure = Workspace(self.memory)
        self.left = self.traffic
        self.before = self.shown
        self.live, self.count = live, count
        self.memory.changed = self.check
        if begins:
            self.begin("ann", 2, takes_over=False, begun_before=0)

    @property
    def shown(self) -> Endpoint:
        """The endpoint as it is."""
        return look(self.memory)

    @property
    def traffic(self) -> dict[str, int]:
        """Which share of the users' requests each deployment gets, in percent."""
        return traffic_of(self.shown)

    @property
    def record(self) -> Record | None:
        """Its record; None if there is none, or a damaged one."""
        return record_of(self.shown)

    def call(self, step: Callable[[Workspace], T], *, forced: bool = False) -> T | None:
        """Let the rollout do a step; None if it said no, on purpose and not because Azure refused what it asked for."""
        with self.working(forced):
            try:
                return step(self.azure)
            except AzureFailed as error:
                raise AssertionError(f"the rollout asked for what Azure does not do: {error}") from error
            except SaferolloutError as error:
                hypothesis.event(f"{type(error).__name__}")
                return None
            except Killed:
                hypothesis.event("killed in a step")
                self.runs = {name: run for name, run in self.runs.items() if run is not self.at_work}
                return None

    @contextlib.contextmanager
    def working(self, forced: bool) -> Iterator[None]:
        """What changes meanwhile is changed by the rollout."""
        self.is_working, self.is_forced = True, forced
        self.before = self.shown
        try:
            yield
        finally:
            self.is_working, self.kept = False, ""

    def step(self, owner: str, step: Callable[[Workspace, Run], object]) -> bool:
        """A step of a run: whether it was done. To do it again right away changes nothing."""
        run = self.runs[owner]

        def done(azure: Workspace) -> bool:
            step(azure, run)
            changes = self.changes
            step(azure, run)
            assert self.changes == changes, "the same step a second time has changed something"
            return True

        self.at_work = run
        was_done = bool(self.call(done))
        assert owner != LOST or not was_done or self.is_tampered, "a process that was given up has gone on"
        return was_done

    def check(self) -> None:
        """The invariants."""
        self.changes += 1
        if not self.is_working:
            return
        old, new = self.before, self.shown
        self.before = new
        self.check_traffic(old, new)
        self.check_deployments(old, new)
        assert others(old) == others(new), "the rollout changed the tags of others"
        assert held_in(new) == self.held or self.is_held_anew, "a hold was lost, or nobody asked for it"
        record = record_of(new)
        if old.resource != new.resource and record and record.unfinished:
            if record.traffic() == traffic_of(new):  # also where somebody else had set just what was wanted
                self.left = traffic_of(new)
            wrong = traffic_of(new) == self.left != record.traffic()
            assert self.is_tampered or not wrong, "the record is wrong"
        self.killed_after = max(0, self.killed_after - 1)
        if self.killed_after == 0 and self.is_doomed:
            self.is_doomed = False
            raise Killed

    def check_traffic(self, old: Endpoint, new: Endpoint) -> None:
        """Traffic is what the rollout planned, or it is somebody else's and stays."""
        if (shares := traffic_of(new)) == traffic_of(old):
            return
        assert sum(shares.values()) == 100
        recorded = record_of(old) if self.is_tampered else None  # with its record, the traffic was made the rollout's
        own = self.left, recorded and recorded.traffic()
        assert traffic_of(old) in own or self.is_forced, "the rollout changed the traffic of somebody else"
        assert set(shares) <= {self.live, self.candidate}
        given = shares.get(self.candidate, 0)
        if given > traffic_of(old).get(self.candidate, 0):
            run = self.at_work
            assert run is not None
            assert given in run.decisions, "the candidate got traffic without an approval"
            serving = new.deployments[self.candidate].serving
            assert made_of(serving) == made_of(run.passed), "what got traffic was not tested"
        self.left = shares

    def check_deployments(self, old: Endpoint, new: Endpoint) -> None:
        """Nobody's instances are taken away below the baseline; only what rollouts made, or kept, is deleted."""
        for name, there in old.deployments.items():
            if (now := new.deployments.get(name)) is None:
                assert name not in traffic_of(old)
                made = PREFIX + "rollout" in there.resource["tags"]
                assert name == self.kept or (made and name != self.live), f"{name} was deleted"
            elif capacity(now.resource) < capacity(there.resource):
                assert (name, capacity(now.resource)) == (self.live, self.count), f"{name} lost instances"

    @rule(
        owner=owners,
        version=st.sampled_from([2, 2, 3]),
        takes_over=st.booleans(),
        begun_before=st.integers(0, 9),
        again=st.sampled_from(["", "", "eve"]),
    )
    def begin(self, owner: str, version: int, takes_over: bool, begun_before: int, again: str = "") -> None:
        """A new rollout, or a resumption by the same owner or another one; a person may insist on a held revision."""
        record, changes = self.record, self.changes
        gone = record.owner if record and takes_over else None
        project = make_project(version, **self.settings)
        rollout = self.call_begin(
            lambda azure: begin(azure, project, OWNERS[owner], gone=gone, begun_before=begun_before == 9, again=again)
        )
        is_new = record is None or record.owner != OWNERS[owner]
        if self.held == project.revision and is_new and not again and (record is None or record.phase is Phase.ROLLING):
            assert rollout is None
            assert self.changes == changes or self.revision_of_live() == project.revision, "a held revision began"
        if rollout:
            self.began(owner, rollout, record)

    def call_begin(self, start: Callable[[Workspace], Rollout | None]) -> Rollout | None:
        """Begin, with what may go for that; None where it was refused."""
        record = self.record
        self.at_work = None
        self.kept = record.baseline.live if record and not record.unfinished else ""
        rollout = self.call(start)
        begun = self.record
        if rollout is None and begun and (record is None or begun.rollout != record.rollout):
            self.adopt(begun)  # killed right after that was written
        return rollout

    def adopt(self, record: Record) -> None:
        """A new rollout is on record: what it found is what it must go back to."""
        (self.live,) = self.traffic
        self.count = capacity(self.shown.deployments[self.live].resource)
        assert record.baseline.instance_count == self.count
        self.candidate, self.left, self.is_tampered = record.candidate, self.traffic, False
        assert self.candidate != self.live

    def began(self, owner: str, rollout: Rollout, before: Record | None) -> None:
        """A rollout that `owner` has from now on, where the record `before` was."""
        record = self.record
        assert record is not None
        assert record.owner == OWNERS[owner]
        if before is None or rollout.id != before.rollout:
            self.adopt(record)
        self.runs[owner] = Run(rollout, reached=rollout.share, decisions=dict(rollout.approvals))

    def revision_of_live(self) -> str:
        """The revision that has all users; empty where several have, or no rollout made it."""
        found = [there.resource["tags"] for name, there in self.shown.deployments.items() if name in self.traffic]
        return str(found[0].get(TAG_REVISION, "")) if len(found) == 1 else ""

    def note_hold(self) -> None:
        """What is held from now on, after a step that was to hold a revision, or to end that."""
        self.held, self.is_held_anew = held_in(self.shown), False

    def has_run(self) -> bool:
        """Whether any run has begun."""
        return bool(self.runs)

    def of_a_run(self, data: st.DataObject) -> str:
        """One of those who have a run."""
        return data.draw(st.sampled_from(sorted(self.runs)))


def made_of(deployment: Resource | None) -> object:
    """What a deployment is made of, and whose it is."""
    parts = ("model", "codeConfiguration")
    return deployment and ([deployment["properties"].get(part) for part in parts], deployment["tags"])


def record_of(endpoint: Endpoint) -> Record | None:
    """Its record; None if there is none, or a damaged one."""
    try:
        return Record.from_tags(endpoint.resource["tags"])
    except Refused:
        return None


def held_in(endpoint: Endpoint) -> str:
    """The revision that its tags hold, if any."""
    hold = Hold.from_tags(endpoint.resource["tags"])
    return hold.revision if hold and hold.holds(hold.revision) else ""


def others(endpoint: Endpoint) -> dict[str, str]:
    """The tags that are not the rollout's."""
    return {name: value for name, value in without_record(endpoint.resource["tags"]).items() if name != TAG_HELD}
