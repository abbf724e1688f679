"""Recheck: a last look at the candidate before its next share; an answer may come hours after its question."""

from collections.abc import Sequence

from prefect import task

from saferollout.config.judge import JudgeConfig
from saferollout.config.rollout import StageConfig
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import Drifted, GateFailed, Stopped
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.domain.fault_points import Step
from saferollout.rollout import drift
from saferollout.rollout.rollout import Rollout
from tasks.judge import judge_gate
from tasks.smoke_test import require_passed, run_smoke_test
from tasks.support.access import in_workspace
from tasks.support.boundaries import bounded
from tasks.support.names import named
from tasks.support.policy import STEP
from tasks.support.results import Looks


@task(task_run_name=named("recheck {rollout.candidate} for {stage.traffic}%"), **STEP)
@bounded(Step.RECHECK)
async def recheck(
    rollout: Rollout, stage: StageConfig, judge: JudgeConfig, evidence: Sequence[Evidence], decision: Decision | None
) -> None:
    """Check that the candidate has not gone bad since the `evidence`.

    Its `judge` goes on from the last of it, or from what the guard has seen. The candidate must still be up and this
    rollout's own, answer the recorded requests (only if the smoke test, the first evidence, was undecided may it be so
    again), and not be harmful during `recheck_s`.

    Raises:
        Drifted: Somebody else changed something meanwhile.
        GateFailed: It has gone bad.
        Stopped: The run is not to go on.
    """
    try:
        await _recheck(rollout, stage, judge, evidence)
    except (Drifted, Stopped):
        raise
    except GateFailed as error:
        earlier = evidence[-1]
        was_good = bool(earlier.state) or error.evidence is None or error.evidence.gate == earlier.gate
        verdict = "went bad" if was_good else "is bad"
        when = f"while the question of {stage.traffic}% was open" if decision and was_good else "as its recheck shows"
        msg = f"{rollout.candidate} {verdict} {when}: {error}"
        raise GateFailed(msg, error.evidence) from error


async def _recheck(rollout: Rollout, stage: StageConfig, judge: JudgeConfig, evidence: Sequence[Evidence]) -> None:
    state = await in_workspace(rollout, lambda azure: drift.require_unchanged(azure, rollout))
    found = await run_smoke_test(rollout.project, candidate=rollout.candidate, live=rollout.live)
    require_passed(found, rollout.project.config.smoke_test)
    if (
        found.verdict is GateVerdict.UNDECIDED and evidence[0].verdict is not GateVerdict.UNDECIDED
    ):  # nobody was asked about that
        msg = f"smoke test undecided: {found.summary}"
        raise GateFailed(msg, found)
    if stage.recheck_s:
        config = judge.recheck(stage.recheck_s, has_users=rollout.candidate in state.traffic)
        gate, key = f"recheck for {stage.traffic}%", f"recheck-{stage.traffic}"
        seen = await Looks().read(rollout.id, str(rollout.changes or ""))  # by the guard, while the question was open
        await judge_gate(rollout, config, gate, key, seen or evidence[-1], harm_only=True)
