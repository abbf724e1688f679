"""Recheck: a last look at the candidate before its next share; an answer may come hours after its question."""

from prefect import task

from saferollout.config import StageConfig
from saferollout.domain import Decision
from saferollout.errors import GateFailed, Stopped
from saferollout.evidence import Evidence
from saferollout.judge_config import JudgeConfig
from saferollout.plan import Plan
from tasks.access import in_workspace
from tasks.judging import judged
from tasks.policy import STEP
from tasks.smoke_test import passed, run_smoke_test


@task(task_run_name="recheck {plan.candidate} for {stage.traffic}%", **STEP)
async def recheck(
    plan: Plan, stage: StageConfig, judge: JudgeConfig, earlier: Evidence, decision: Decision | None
) -> None:
    """Raise GateFailed if the candidate went bad since the ``earlier`` evidence, from which its ``judge`` goes on.

    It must still be up and this rollout's own, answer the recorded requests, and not be harmful during ``recheck_s``.
    """
    try:
        await _recheck(plan, stage, judge, earlier)
    except Stopped:
        raise
    except GateFailed as error:
        was_good = bool(earlier.state) or error.evidence is None or error.evidence.gate == earlier.gate
        verdict = "went bad" if was_good else "is bad"
        when = f"while the question of {stage.traffic}% was open" if decision and was_good else "as its recheck shows"
        msg = f"{plan.candidate} {verdict} {when}: {error}"
        raise GateFailed(msg, error.evidence) from error


async def _recheck(plan: Plan, stage: StageConfig, judge: JudgeConfig, earlier: Evidence) -> None:
    state = await in_workspace(plan, lambda azure: azure.settled(plan.endpoint, plan.candidate))
    plan.own_candidate(state)
    passed(await run_smoke_test(plan))
    if stage.recheck_s:
        config = judge.recheck(stage.recheck_s, has_users=plan.candidate in state.traffic)
        gate, key = f"recheck for {stage.traffic}%", f"recheck-{stage.traffic}"
        await judged(plan, config, gate, key, earlier, harm_only=True)
