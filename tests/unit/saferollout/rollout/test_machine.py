"""Random sequences of steps, by two runs and somebody else, on Azure's twin; the invariants hold after every call.

SAFEROLLOUT_SEQUENCES says how many new ones to try; the same 2,000 by default.
"""

import contextlib
import os
import time
from datetime import timedelta

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from saferollout.azure.workspace import Workspace
from saferollout.config.rollout import LeftCandidate
from saferollout.domain.errors import AzureFailed, Drifted, Refused
from saferollout.rollout import lookout, retire, rollback
from saferollout.rollout.begin import begin
from saferollout.rollout.guard import Act, Sign, decide
from saferollout.rollout.guard import Run as GuardedRun
from saferollout.rollout.hold import Hold, release
from saferollout.rollout.question import note_question
from saferollout.rollout.record import PREFIX, Phase, Record, is_of_record, now, without_record
from saferollout.rollout.rollout import Rollout
from tests.support.invariants import LOST, MIRROR, Run, counts, names, owners
from tests.support.machine import Steps
from tests.support.racing import Overtaken, workspace
from tests.support.twin import (
    NAME,
    OWNERS,
    SHARES,
    capacity,
    deploy,
    edit,
    make_project,
)

SEQUENCES = int(os.environ.get("SAFEROLLOUT_SEQUENCES", "2000"))
PARTS = 16
"""Tests that share the sequences, so that processes can."""
STEPS = 15
BEGINNING = ["scale_live", "create_candidate", "verify", "smoke_test"]
EVERY_SHARE = ["scale_candidate", "smoke_test", "shift"]
CHANGES = ["gone", "count", "autoscaled", "model", "code", "replaced"]
"""What somebody else may do to a deployment."""


class Machine(Steps):
    """Each rule is one step of a run, or one change of somebody else."""

    @precondition(Steps.has_run)
    @rule(data=st.data(), steps=st.integers(1, 12), meanwhile=st.none() | st.sampled_from(CHANGES))
    def go_on(self, data: st.DataObject, steps: int, meanwhile: str | None) -> None:
        """The next steps in the flow's order, up to the first that says no; somebody interferes before the last one."""
        owner = self.of_a_run(data)
        for left in reversed(range(steps)):
            run = self.runs[owner]
            if meanwhile and not left:
                self.somebody_changes_a_deployment(data, run.rollout.candidate, meanwhile)
            todo = [*BEGINNING, *EVERY_SHARE * len(SHARES), "end"]
            if run.done == len(todo) or not getattr(self, f"do_{todo[run.done]}")(owner):
                return
            run.done += 1

    @precondition(Steps.has_run)
    @rule(data=st.data(), step=st.sampled_from([*BEGINNING, *EVERY_SHARE]))
    def do_any(self, data: st.DataObject, step: str) -> None:
        """A step in no order: what a retry, or a run that somebody has taken over, does too late."""
        getattr(self, f"do_{step}")(self.of_a_run(data))

    @precondition(Steps.has_run)
    @rule(data=st.data(), passes=st.booleans())
    def smoke_test(self, data: st.DataObject, passes: bool) -> None:
        self.do_smoke_test(self.of_a_run(data), passes=passes)

    @precondition(Steps.has_run)
    @rule(data=st.data(), share=st.sampled_from([0, MIRROR]))
    def mirror(self, data: st.DataObject, share: int) -> None:
        self.do_mirror(self.of_a_run(data), share=share)

    @rule(order=st.permutations(list(OWNERS)), versions=st.tuples(st.sampled_from([2, 3]), st.sampled_from([2, 3])))
    def two_start(self, order: list[str], versions: tuple[int, int]) -> None:
        """One has decided to write, and another one is quicker: one goes on at most, and that one is on record.

        They begin, or take over what somebody left who is gone.
        """
        record = self.record
        left = record if record and record.unfinished else None
        first, second = [name for name in order if not left or OWNERS[name] != left.owner][:2]
        if left:
            versions = (2, 2) if left.revision == make_project(2, **self.settings).revision else (3, 3)
        ends: dict[str, Rollout] = {}

        def start(azure: Workspace, owner: str, version: int) -> None:
            project, gone = make_project(version, **self.settings), left.owner if left else None
            with contextlib.suppress(Refused, Drifted):
                rollout = begin(azure, project, OWNERS[owner], gone=gone, begun_before=False, again="eve")
                if rollout:
                    ends[owner] = rollout

        def both(_: Workspace) -> None:
            overtaken = Overtaken(self.memory, lambda azure: start(azure, second, versions[1]))
            start(workspace(overtaken), first, versions[0])

        self.kept = record.baseline.live if record and not record.unfinished else ""
        self.at_work, self.is_doomed = None, False
        self.call(both)
        assert len(ends) <= 1, "two have begun"
        hypothesis.event(f"of two that start at once, {len(ends)} goes on")
        for owner, rollout in ends.items():
            self.began(owner, rollout, record)

    @precondition(Steps.has_run)
    @rule(data=st.data(), changed=st.booleans())
    def begin_anew(self, data: st.DataObject, changed: bool) -> None:
        """Because somebody else has changed the candidate; or in a wrong moment, when nobody has."""
        owner = self.of_a_run(data)
        if changed:
            what = data.draw(st.sampled_from(["model", "code"]))
            self.somebody_changes_a_deployment(data, self.runs[owner].rollout.candidate, what)
        self.do_begin_anew(owner)

    @precondition(Steps.has_run)
    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        self.do_put_back(self.of_a_run(data))

    @precondition(Steps.has_run)
    @rule(data=st.data(), harm=st.booleans())
    def put_traffic_back(self, data: st.DataObject, harm: bool) -> None:
        self.at_work = self.runs[self.of_a_run(data)]
        rollout = self.at_work.rollout
        hold = Hold.of(rollout.revision, "", "harm") if harm else None
        self.is_held_anew = harm
        is_back = self.call(lambda azure: rollback.put_traffic_back(azure, rollout, hold))
        self.note_hold()
        assert not is_back or self.traffic == {rollout.live: 100}
        assert not (is_back and harm) or self.held == rollout.revision

    @rule(changes=st.integers(1, 4))
    def doom(self, changes: int) -> None:
        """Whoever is at work, or will be, is killed after so many changes, wherever it is then."""
        self.is_doomed, self.killed_after = True, changes

    @precondition(Steps.has_run)
    @rule(data=st.data())
    def reject(self, data: st.DataObject) -> None:
        """A person says no, or aborts: the run rolls its own rollout back, and is over."""
        owner = self.of_a_run(data)
        if owner != LOST:
            self.roll_back(owner, force=False)
            self.runs.pop(owner, None)

    @rule(owner=st.none() | owners, force=st.sampled_from([False, False, False, True]), harm=st.booleans())
    def roll_back(self, owner: str | None, force: bool, harm: bool = False) -> None:
        """By its owner, or by whoever looks after the endpoint."""
        record, before = self.record, self.shown
        self.at_work = None
        is_first = record is not None and record.phase is not Phase.ROLLING_BACK  # who comes later finds what that did
        hold = Hold.of(record.revision, "", "harm") if record and harm else None
        self.is_held_anew = hold is not None and is_first

        def back(azure: Workspace) -> Record | None:
            if owner:
                return rollback.roll_back_own(azure, NAME, lambda found: found == OWNERS[owner], hold=hold)
            return rollback.roll_back(azure, NAME, force=force, hold=hold)

        rolled_back = self.call(back, forced=force)
        self.note_hold()
        if rolled_back is None:
            return
        assert not (hold and is_first) or self.held == hold.revision, "harm is not held"
        hypothesis.event("rolled back")
        assert record is not None
        assert (rolled_back.rollout, rolled_back.baseline) == (record.rollout, record.baseline)
        assert self.traffic == rolled_back.baseline.traffic
        assert self.record is None
        live, count = rolled_back.baseline.live, rolled_back.baseline.instance_count
        had = capacity(before.deployments[live].resource)
        assert capacity(self.shown.deployments[live].resource) == (
            count if had < count or had == rolled_back.raised_to else had
        )
        mirrored = self.shown.resource["properties"]["mirrorTraffic"]
        kept = before.resource["properties"]["mirrorTraffic"]
        assert mirrored == {name: share for name, share in kept.items() if name not in (rolled_back.candidate, live)}
        there = before.deployments.get(rolled_back.candidate)
        gone = (
            there
            and PREFIX + "rollout" in there.resource["tags"]
            and rolled_back.left_candidate is LeftCandidate.DELETE
        )
        expected = before.deployments.keys() - ({rolled_back.candidate} if gone else set())
        assert self.shown.deployments.keys() == expected

    @rule()
    def release(self) -> None:
        """A person ends the hold; its tag stays, and says so."""
        self.at_work, self.is_doomed = None, False
        self.is_held_anew = True
        released = self.call(lambda azure: release(azure, NAME, by="eve", comment="seen"))
        assert (released is None) == (not self.held)
        self.note_hold()
        assert not self.held

    @precondition(Steps.has_run)
    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        """A person is asked; a second time nothing is written."""

        def ask(azure: Workspace, run: Run) -> None:
            stage = next(found for found in run.rollout.project.config.stages if found.traffic == run.next_share)
            note_question(azure, run.rollout, stage)

        self.step(self.of_a_run(data), ask)

    @rule(
        sign=st.none() | st.sampled_from(Sign), age_s=st.sampled_from([1, 60, 600]), days=st.sampled_from([0, 0, 0, 9])
    )
    def guard(self, sign: Sign | None, age_s: float, days: int) -> None:
        """Whatever Prefect shows of the run, and however late: what the guard does keeps the invariants."""
        record = self.record
        if record is None:
            return
        at = now() + timedelta(days=days)
        since = at - timedelta(seconds=age_s)
        run = GuardedRun(sign=sign, state=sign.value, since=since, deployed=True) if sign else None
        action = decide(self.azure.get_endpoint(NAME), record, run, at)
        hypothesis.event(f"guard: {action.act}")
        match action.act:
            case Act.ROLL_BACK:
                self.roll_back(None, force=False)
            case Act.RETIRE:
                self.retire(at_once=False)
            case Act.RESUME:
                self.resume(record)

    def resume(self, record: Record) -> None:
        """The guard takes the process for dead, rightly or not: if it is alive it no longer changes anything."""
        self.at_work = None
        if self.call(lambda azure: lookout.note_resume(azure, NAME, record)) is None:
            return
        if (owner := next((name for name, found in OWNERS.items() if found == record.owner), "")) == "":
            return  # somebody has damaged that tag
        if owner in self.runs:
            self.runs[LOST] = self.runs.pop(owner)
        self.begin(owner, 2, takes_over=False, begun_before=0)

    @precondition(Steps.has_run)
    @rule(data=st.data(), keep_s=st.sampled_from([0, 3600]))
    def end(self, data: st.DataObject, keep_s: int) -> None:
        self.do_end(self.of_a_run(data), keep_s=keep_s)

    @rule(at_once=st.booleans())
    def retire(self, at_once: bool) -> None:
        record = self.record
        self.at_work, self.kept = None, record.baseline.live if record else ""
        self.call(lambda azure: retire.retire(azure, NAME, at_once=at_once))

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
        own = sorted(name for name in tags if is_of_record(name))
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
        """It is deleted, scaled, also by an autoscaler, given another model or code in place, or deployed anew."""
        there = self.shown.deployments.get(name)
        count = data.draw(counts)
        with contextlib.suppress(AzureFailed):
            if what == "gone":
                self.memory.delete_deployment(NAME, name)
            elif what in ("count", "autoscaled"):
                self.memory.autoscaled |= {(NAME, name)} if what == "autoscaled" else set()
                self.memory.scale_deployment(NAME, name, count)
            elif what == "model" and there:
                deploy(self.memory, name, 7, capacity(there.resource), there.resource["tags"])
            elif what == "code" and there:
                code = {"codeId": f"/subscriptions/s/codes/c/versions/{count}", "scoringScript": "score.py"}
                changed = there.resource["properties"] | {"codeConfiguration": code}
                self.memory.put_deployment(NAME, name, there.resource | {"properties": changed})
            elif what == "replaced":
                self.memory.delete_deployment(NAME, name)
                deploy(self.memory, name, 8, count, {})


@pytest.fixture
def awake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for on the twin: whoever sleeps there would wait for what never comes."""

    def sleep(seconds: float) -> None:
        raise AssertionError(f"the rollout waits for {seconds} s")

    monkeypatch.setattr(time, "sleep", sleep)


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, PARTS))])
@pytest.mark.usefixtures("awake")
def test_the_invariants_hold_whatever_happens_in_whatever_order(part: int) -> None:
    """Two runs and somebody else, step by step."""
    try_sequences(part, -(-SEQUENCES // PARTS))


def try_sequences(part: int, count: int) -> None:
    """Try so many sequences, which are others in each part, and the same each time unless they are to be new."""
    settings = hypothesis.settings(
        max_examples=count,
        derandomize="SAFEROLLOUT_SEQUENCES" not in os.environ,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    other_name = type(f"Machine{part}", (Machine,), {})  # which sequences are tried depends on it
    run_state_machine_as_test(other_name, settings=settings)
