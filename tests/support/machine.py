"""A rollout on Azure's twin, step by step."""

import hypothesis

from saferollout.approvals.tag import fitted
from saferollout.azure.workspace import Workspace
from saferollout.domain.composition import Composition
from saferollout.domain.endpoint import Decision
from saferollout.rollout import anew, create, drift, mirror, retire, scale, shift, verify
from saferollout.rollout.put_back import put_back
from tests.support.invariants import AT, MIRROR, Checked, Run
from tests.support.twin import (
    NAME,
    SHARES,
    capacity,
)


class Steps(Checked):
    """The steps of a run; each returns whether it was done."""

    def do_scale_live(self, owner: str) -> bool:
        return self.step(owner, lambda azure, run: scale.scale_live(azure, run.rollout))

    def do_create_candidate(self, owner: str) -> bool:
        return self.step(owner, lambda azure, run: create.create_candidate(azure, run.rollout))

    def do_verify(self, owner: str) -> bool:
        rollout = self.runs[owner].rollout
        done = self.step(owner, lambda azure, run: verify.verify_traffic(azure, run.rollout))
        assert not done or self.traffic == rollout.traffic(rollout.share)
        return done

    def do_smoke_test(self, owner: str, *, passes: bool = True) -> bool:
        """What is tested is the candidate that is there, and still this rollout's."""

        def test(azure: Workspace, run: Run) -> None:
            state = drift.require_unchanged(azure, run.rollout)
            candidate = state.deployments[run.rollout.candidate]
            run.digest = candidate.digest
            run.rollout = run.rollout.model_copy(update={"made_of": Composition.of(candidate)})
            run.passed = self.shown.deployments[run.rollout.candidate].serving if passes else None

        return self.step(owner, test) and passes

    def do_mirror(self, owner: str, *, share: int = MIRROR) -> bool:
        run = self.runs[owner]
        if run.passed is None or run.reached or not self.settings["shadow"]:
            return False
        return self.step(owner, lambda azure, run: mirror.mirror_traffic(azure, run.rollout, share))

    def do_scale_candidate(self, owner: str) -> bool:
        share = self.runs[owner].next_share
        return self.step(owner, lambda azure, run: scale.scale_candidate(azure, run.rollout, share))

    def do_shift(self, owner: str) -> bool:
        """The next share, which a person has approved."""
        run = self.runs[owner]
        if run.passed is None:
            return False
        share = run.next_share
        decision = Decision(
            share=share,
            decision="approve",
            approver="eve",
            at=AT,
            evidence="e",
            rollout=run.rollout.id,
            revision=run.rollout.revision,
            deployment=run.digest,
        )
        run.decisions[share] = decision
        if not self.step(owner, lambda azure, run: shift.shift_traffic(azure, run.rollout, share, decision)):
            return False
        run.reached = max(share, run.rollout.share)
        hypothesis.event(f"reached {run.reached}%")
        assert self.traffic == run.rollout.traffic(run.reached)
        record = self.record
        assert record is not None
        assert record.approvals[share] == fitted(decision)
        return True

    def do_begin_anew(self, owner: str) -> bool:
        """Somebody else has changed the candidate: no users, no approvals, and no gate passed, until all are again."""
        run = self.runs[owner]
        if run.passed is None:
            return False
        self.at_work = run
        if (begun := self.call(lambda azure: anew.begin_anew(azure, run.rollout))) is None:
            return False
        hypothesis.event(f"begins anew at {run.reached}%")
        record = self.record
        assert record is not None
        assert self.traffic == {begun.live: 100}
        assert (record.share, record.approvals, record.asks) == (0, {}, None)
        self.runs[owner] = Run(begun, done=3)
        return True

    def do_put_back(self, owner: str) -> bool:
        """What a person lets the rollout set again, after somebody else has changed it."""
        run = self.runs[owner]
        if run.passed is None:
            return False
        self.at_work = run
        counts = {name: capacity(there.resource) for name, there in self.shown.deployments.items()}

        def put(azure: Workspace) -> bool:
            put_back(azure, run.rollout, at_most=run.reached)
            return True

        if not self.call(put, forced=True):
            return False
        hypothesis.event("put back")
        assert self.traffic == run.rollout.traffic(run.reached)
        assert all(capacity(there.resource) >= counts[name] for name, there in self.shown.deployments.items())
        state, record = self.azure.get_endpoint(NAME), self.record
        assert record is not None
        assert not drift.differences(state, record, run.rollout, is_created=self.candidate in record.instance_counts)
        return True

    def do_end(self, owner: str, *, keep_s: float = 0) -> bool:
        run = self.runs[owner]
        if run.reached != SHARES[-1]:
            return False
        self.kept, before = self.live, self.record
        if self.held == self.runs[owner].rollout.revision:
            self.is_held_anew = True
        done = self.step(owner, lambda azure, run: retire.end(azure, run.rollout, keep_s))
        rollout = run.rollout
        self.note_hold()
        assert not done or self.held != rollout.revision, "what has all users is held"
        if done and not keep_s and before and before.unfinished:  # else it had been ended before, and may be kept
            assert rollout.live not in self.shown.deployments or rollout.live in self.traffic
        return done
