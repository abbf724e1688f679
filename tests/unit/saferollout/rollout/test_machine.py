"""Random sequences of steps, by two runs and somebody else, on Azure's twin; the invariants hold after every call.

SAFEROLLOUT_SEQUENCES says how many new ones to try; the same 2,000 by default.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from saferollout.azure.memory import Endpoint
from saferollout.azure.port import Resource
from saferollout.azure.workspace import Workspace
from saferollout.config.rollout import LeftCandidate
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import AzureFailed, Refused, SaferolloutError
from saferollout.rollout import create, mirror, retire, rollback, scale, shift, verify
from saferollout.rollout.begin import begin
from saferollout.rollout.record import PREFIX, Record, without_record
from saferollout.rollout.rollout import Plan
from tests.support.twin import (
    NAME,
    OWNERS,
    SHARES,
    SLOTS,
    capacity,
    deploy,
    edit,
    look,
    make_endpoint,
    make_project,
    traffic_of,
)

T = TypeVar("T")

SEQUENCES = int(os.environ.get("SAFEROLLOUT_SEQUENCES", "2000"))
STEPS = 15

BEGINNING = ["scale_live", "create_candidate", "verify", "smoke_test"]
EVERY_SHARE = ["scale_candidate", "smoke_test", "shift"]
CHANGES = ["gone", "count", "model", "replaced"]
"""What somebody else may do to a deployment."""
AT = datetime(2025, 1, 2, tzinfo=UTC)

names = st.sampled_from([*SLOTS, "red"])
owners = st.sampled_from(list(OWNERS))
counts = st.integers(1, 4)


@dataclass
class Run:
    """A flow run as the machine drives it: gates come before shares, as the flow sees to."""

    plan: Plan
    passed: Resource | None = None
    """What the smoke test last found good."""
    reached: int = 0
    decisions: dict[int, Decision] = field(default_factory=dict)
    done: int = 0
    """How many of the flow's steps."""

    @property
    def next_share(self) -> int:
        """The share that is to be reached next."""
        return next((share for share in SHARES if share > self.reached), SHARES[-1])


class Machine(RuleBasedStateMachine):
    """Each rule is one step of a run, or one change of somebody else."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[str, Run] = {}
        self.settings: dict[str, Any] = {}
        self.at_work: Run | None = None
        self.is_working = self.is_forced = False
        self.changes = 0
        self.is_tampered = False
        """Whether somebody else has changed the record."""
        self.candidate = ""
        self.kept = ""
        """The old deployment that may be deleted now."""

    @initialize(
        live=st.sampled_from(SLOTS),
        count=counts,
        raised_to=st.none() | counts,
        left=st.sampled_from(LeftCandidate),
        begins=st.sampled_from([True, True, True, False]),
    )
    def bootstrap(self, live: str, count: int, raised_to: int | None, left: LeftCandidate, begins: bool) -> None:
        self.settings = {"live": {"instance_count": raised_to}, "rollback": {"candidate": left}}
        self.memory = make_endpoint(live, count)
        self.azure = Workspace(self.memory)
        self.left = self.traffic
        self.before = self.shown
        self.live, self.count = live, count
        self.memory.changed = self.check
        if begins:
            self.begin("ann", 2, takes_over=False, begun_before=0)

    # what is seen

    @property
    def shown(self) -> Endpoint:
        """The endpoint as it is."""
        return look(self.memory)

    @property
    def traffic(self) -> dict[str, int]:
        """Its traffic."""
        return traffic_of(self.shown)

    @property
    def record(self) -> Record | None:
        """Its record; None if there is none, or a damaged one."""
        return record_of(self.shown)

    # the one place where a step is called, and could be cut short

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
        return bool(self.call(done))

    # what must hold after every single change

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
        record = record_of(new)
        if old.resource != new.resource and record and record.unfinished:
            if record.traffic() == traffic_of(new):  # also where somebody else had set just what was wanted
                self.left = traffic_of(new)
            wrong = traffic_of(new) == self.left != record.traffic()
            assert self.is_tampered or not wrong, "the record is wrong"

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

    # the rollout's steps

    @rule(owner=owners, version=st.sampled_from([2, 2, 3]), takes_over=st.booleans(), begun_before=st.integers(0, 9))
    def begin(self, owner: str, version: int, takes_over: bool, begun_before: int) -> None:
        """A new rollout, or a resumption by the same owner or another one."""
        record, before = self.record, self.shown
        gone = record.owner if record and takes_over else None
        project = make_project(version, **self.settings)
        self.at_work = None
        self.kept = record.baseline.live if record and not record.unfinished else ""
        plan = self.call(lambda azure: begin(azure, project, OWNERS[owner], gone=gone, begun_before=begun_before == 9))
        if plan is None:
            return
        if record is None or plan.rollout != record.rollout:
            (self.live,) = self.traffic
            self.count = capacity(before.deployments[self.live].resource)
            self.candidate, self.left, self.is_tampered = plan.candidate, self.traffic, False
            assert self.candidate != self.live
        self.runs[owner] = Run(plan, reached=plan.stage, decisions=dict(plan.approvals))

    def has_run(self) -> bool:
        """Whether any run has begun."""
        return bool(self.runs)

    def of_a_run(self, data: st.DataObject) -> str:
        """One of those who have a run."""
        return data.draw(st.sampled_from(sorted(self.runs)))

    @precondition(has_run)
    @rule(data=st.data(), steps=st.integers(1, 12), meanwhile=st.none() | st.sampled_from(CHANGES))
    def go_on(self, data: st.DataObject, steps: int, meanwhile: str | None) -> None:
        """The next steps in the flow's order, up to the first that says no; somebody interferes before the last one."""
        owner = self.of_a_run(data)
        for left in reversed(range(steps)):
            run = self.runs[owner]
            if meanwhile and not left:
                self.somebody_changes_a_deployment(data, run.plan.candidate, meanwhile)
            todo = [*BEGINNING, *EVERY_SHARE * len(SHARES), "end"]
            if run.done == len(todo) or not getattr(self, f"do_{todo[run.done]}")(owner):
                return
            run.done += 1

    @precondition(has_run)
    @rule(data=st.data(), step=st.sampled_from([*BEGINNING, *EVERY_SHARE]))
    def do_any(self, data: st.DataObject, step: str) -> None:
        """A step in no order: what a retry, or a run that somebody has taken over, does too late."""
        getattr(self, f"do_{step}")(self.of_a_run(data))

    def do_scale_live(self, owner: str) -> bool:
        return self.step(owner, lambda azure, run: scale.scale_live(azure, run.plan))

    def do_create_candidate(self, owner: str) -> bool:
        return self.step(owner, lambda azure, run: create.create_candidate(azure, run.plan))

    def do_verify(self, owner: str) -> bool:
        done = self.step(owner, lambda azure, run: verify.verify_traffic(azure, run.plan))
        assert not done or self.traffic == self.runs[owner].plan.traffic(self.runs[owner].plan.stage)
        return done

    def do_smoke_test(self, owner: str, *, passes: bool = True) -> bool:
        """What is tested is the candidate that is there, and still this rollout's."""

        def test(azure: Workspace, run: Run) -> None:
            run.plan.own_candidate(azure.existing(NAME))
            run.passed = self.shown.deployments[run.plan.candidate].serving if passes else None

        return self.step(owner, test) and passes

    def do_mirror(self, owner: str, *, share: int = 10) -> bool:
        run = self.runs[owner]
        if run.passed is None or run.reached:
            return False
        return self.step(owner, lambda azure, run: mirror.mirror_traffic(azure, run.plan, share))

    def do_scale_candidate(self, owner: str) -> bool:
        share = self.runs[owner].next_share
        return self.step(owner, lambda azure, run: scale.scale_candidate(azure, run.plan, share))

    def do_shift(self, owner: str) -> bool:
        """The next share, which a person has approved."""
        run = self.runs[owner]
        if run.passed is None:
            return False
        share = run.next_share
        decision = Decision(stage=share, decision="approve", approver="eve", at=AT, evidence="e")
        run.decisions[share] = decision
        if not self.step(owner, lambda azure, run: shift.shift_traffic(azure, run.plan, share, decision)):
            return False
        run.reached = max(share, run.plan.stage)
        hypothesis.event(f"reached {run.reached}%")
        assert self.traffic == run.plan.traffic(run.reached)
        record = self.record
        assert record is not None
        assert record.approvals[share] == decision
        return True

    def do_end(self, owner: str, *, keep_s: float = 0) -> bool:
        if self.runs[owner].reached != SHARES[-1]:
            return False
        self.kept, before = self.live, self.record
        done = self.step(owner, lambda azure, run: retire.end(azure, run.plan, keep_s))
        plan = self.runs[owner].plan
        if done and not keep_s and before and before.unfinished:  # else it had been ended before, and may be kept
            assert plan.live not in self.shown.deployments or plan.live in self.traffic
        return done

    @precondition(has_run)
    @rule(data=st.data(), passes=st.booleans())
    def smoke_test(self, data: st.DataObject, passes: bool) -> None:
        self.do_smoke_test(self.of_a_run(data), passes=passes)

    @precondition(has_run)
    @rule(data=st.data(), share=st.sampled_from([0, 10, 50]))
    def mirror(self, data: st.DataObject, share: int) -> None:
        self.do_mirror(self.of_a_run(data), share=share)

    @precondition(has_run)
    @rule(data=st.data())
    def put_traffic_back(self, data: st.DataObject) -> None:
        self.at_work = self.runs[self.of_a_run(data)]
        plan = self.at_work.plan
        is_back = self.call(lambda azure: rollback.put_traffic_back(azure, plan))
        assert not is_back or self.traffic == {plan.live: 100}

    @rule(owner=st.none() | owners, force=st.sampled_from([False, False, False, True]))
    def roll_back(self, owner: str | None, force: bool) -> None:
        """By its owner, or by whoever looks after the endpoint."""
        record, before = self.record, self.shown
        self.at_work = None

        def back(azure: Workspace) -> Record | None:
            if owner:
                return rollback.restore_own(azure, NAME, lambda found: found == OWNERS[owner])
            return rollback.restore(azure, NAME, force=force)

        undone = self.call(back, forced=force)
        if undone is None:
            return
        hypothesis.event("rolled back")
        assert record is not None
        assert (undone.rollout, undone.baseline) == (record.rollout, record.baseline)
        assert self.traffic == undone.baseline.traffic
        assert self.record is None
        live, count = undone.baseline.live, undone.baseline.instance_count
        had = capacity(before.deployments[live].resource)
        assert capacity(self.shown.deployments[live].resource) == (
            count if had < count or had == undone.raised_to else had
        )
        mirrored = self.shown.resource["properties"]["mirrorTraffic"]
        kept = before.resource["properties"]["mirrorTraffic"]
        assert mirrored == {name: share for name, share in kept.items() if name not in (undone.candidate, live)}
        there = before.deployments.get(undone.candidate)
        gone = there and PREFIX + "rollout" in there.resource["tags"] and undone.left_candidate is LeftCandidate.DELETE
        expected = before.deployments.keys() - ({undone.candidate} if gone else set())
        assert self.shown.deployments.keys() == expected

    @precondition(has_run)
    @rule(data=st.data(), keep_s=st.sampled_from([0, 3600]))
    def end(self, data: st.DataObject, keep_s: int) -> None:
        self.do_end(self.of_a_run(data), keep_s=keep_s)

    @rule(at_once=st.booleans())
    def retire(self, at_once: bool) -> None:
        record = self.record
        self.at_work, self.kept = None, record.baseline.live if record else ""
        self.call(lambda azure: retire.retire_due(azure, NAME, at_once=at_once))

    # somebody else

    @rule(data=st.data(), what=st.sampled_from(["traffic", "no_traffic", "mirror", "tags", "record"]))
    def somebody_changes_the_endpoint(self, data: st.DataObject, what: str) -> None:
        """Nothing happens where Azure refuses it."""
        with contextlib.suppress(AzureFailed):
            getattr(self, f"change_{what}")(data)

    def change_traffic(self, data: st.DataObject) -> None:
        one, other, share = data.draw(names), data.draw(names), data.draw(st.sampled_from([10, 50, 90]))
        edit(self.memory, traffic={one: 100} if one == other else {one: share, other: 100 - share})

    def change_no_traffic(self, _: st.DataObject) -> None:
        edit(self.memory, traffic={})

    def change_mirror(self, data: st.DataObject) -> None:
        share = data.draw(st.sampled_from([0, 1, 50]))
        edit(self.memory, mirrorTraffic={data.draw(names): share} if share else {})

    def change_tags(self, data: st.DataObject) -> None:
        tag, value = data.draw(st.sampled_from(["team", "cost"])), data.draw(st.sampled_from(["", "a", "b"]))
        edit(self.memory, tags=self.shown.resource["tags"] | {tag: value})

    def change_record(self, data: st.DataObject) -> None:
        tags = dict(self.shown.resource["tags"])
        own = sorted(name for name in tags if name.startswith(PREFIX))
        match data.draw(st.sampled_from(["stage", "remove", "damage", "clear"])) if own else "":
            case "stage":
                tags[PREFIX + "stage"] = data.draw(st.sampled_from(["0", "10", "100"]))
            case "remove":
                del tags[data.draw(st.sampled_from(own))]
            case "damage":
                tags[data.draw(st.sampled_from(own))] = "?"
            case "clear":
                tags = without_record(tags)
            case _:
                return
        self.is_tampered = True
        edit(self.memory, tags=tags)

    @rule(data=st.data(), name=names, what=st.sampled_from(CHANGES))
    def somebody_changes_a_deployment(self, data: st.DataObject, name: str, what: str) -> None:
        """It is deleted, scaled as by an autoscaler, given another model in place, or deployed anew by somebody."""
        there = self.shown.deployments.get(name)
        count = data.draw(counts)
        with contextlib.suppress(AzureFailed):
            if what == "gone":
                self.memory.delete_deployment(NAME, name)
            elif what == "count":
                self.memory.scale_deployment(NAME, name, count)
            elif what == "model" and there:
                deploy(self.memory, name, 7, capacity(there.resource), there.resource["tags"])
            elif what == "replaced":
                self.memory.delete_deployment(NAME, name)
                deploy(self.memory, name, 8, count, {})


def made_of(deployment: Resource | None) -> object:
    """What a deployment is made of, and whose it is."""
    return deployment and (deployment["properties"]["model"], deployment["tags"])


def record_of(endpoint: Endpoint) -> Record | None:
    """Its record; None if there is none, or a damaged one."""
    try:
        return Record.from_tags(endpoint.resource["tags"])
    except Refused:
        return None


def others(endpoint: Endpoint) -> dict[str, str]:
    """The tags that are not the rollout's."""
    return without_record(endpoint.resource["tags"])


@pytest.fixture
def awake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for on the twin: whoever sleeps there would wait for what never comes."""

    def sleep(seconds: float) -> None:
        raise AssertionError(f"the rollout waits for {seconds} s")

    monkeypatch.setattr(time, "sleep", sleep)


@pytest.mark.usefixtures("awake")
def test_the_invariants_hold_whatever_happens_in_whatever_order() -> None:
    """Two runs and somebody else, step by step."""
    settings = hypothesis.settings(
        max_examples=SEQUENCES,
        derandomize="SAFEROLLOUT_SEQUENCES" not in os.environ,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=settings)
