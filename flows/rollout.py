"""The rollout: the order of all its steps."""

import asyncio
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Failed

from flows.cancellation import undo, undo_terminated, undo_this_run
from flows.naming import name_run
from saferollout.config import ModelVersion, StageConfig
from saferollout.domain import Decision
from saferollout.errors import (
    AzureFailed,
    Drifted,
    GateFailed,
    Lost,
    Missing,
    NotRestored,
    Rejected,
    SaferolloutError,
    Stopped,
)
from saferollout.evidence import Evidence
from saferollout.judge import Verdict
from saferollout.outcome import Outcome
from saferollout.plan import Plan
from saferollout.project import Project
from tasks.approval import ask
from tasks.baseline import take_baseline
from tasks.create import create_candidate
from tasks.judge import judge
from tasks.mirror import mirror
from tasks.preflight import preflight
from tasks.recheck import recheck
from tasks.remove import retire_old
from tasks.report import already_live, report
from tasks.resolve import resolve_labels
from tasks.rollback import roll_back_own
from tasks.scale import scale_candidate, scale_live
from tasks.shift import shift_traffic
from tasks.smoke_test import smoke_test
from tasks.this_run import ThisRun, may_have_begun, run_id
from tasks.verify import verify_traffic


@flow(persist_result=True, result_serializer="json", on_cancellation=[undo], on_crashed=[undo_terminated])
async def rollout(config: str = "configs/rollout.yaml", model: ModelVersion | None = None) -> Outcome | State[Any]:
    """Put a new version of a model into production gate by gate, and go back on any doubt.

    Args:
        config: Path of the rollout's config.
        model: A registered model to roll out instead of the one in the deployment's YAML.
    """
    try:
        project = await preflight(config, model)
        project = project.with_assets(await resolve_labels(project))
    except Exception:
        await undo_this_run()
        raise
    plan: Plan | None = None
    decisions: list[Decision] = []
    evidence: list[Evidence] = []
    try:
        plan = await take_baseline(project)
        if plan is None:
            return await already_live(project)
        run = ThisRun(project.config.orchestrator_grace_s)
        await name_run(f"rollout {plan.endpoint} {plan.candidate} ← {plan.project.label}")
        await run.step(_both(plan))
        await run.step(verify_traffic(plan))
        evidence.append(await run.step(smoke_test(plan)))
        if shadow := project.config.shadow:
            evidence.append(await run.step(mirror(plan, shadow, evidence[-1])))
        judged_by = shadow.judge if shadow else project.config.stages[0].judge
        for stage in project.config.stages:
            decision = await run.step(_approval(plan, stage, evidence))
            decisions += [decision] if decision else []
            if stage.traffic > plan.stage:
                await run.step(scale_candidate(plan, stage))
                await run.step(recheck(plan, stage, judged_by, evidence[-1], decision))
            await run.step(shift_traffic(plan, stage, decision))
            evidence.append(await judge(plan, stage, evidence[-1]))  # also while Prefect is away
            judged_by = stage.judge
        await run.step(_last_doubt(plan, stage, evidence, decisions))
    except Lost:
        raise  # somebody undid this rollout: the endpoint is not ours any more
    except Exception as failure:  # noqa: BLE001  # whatever fails: users get the live deployment back
        return await _back(project, plan, failure, evidence, decisions)
    reason = f"{plan.candidate} passed every gate and has all traffic" + await _retired(plan)
    return await report(plan, "promoted", reason, decisions, evidence)


async def _both(plan: Plan) -> None:
    """Do both at once and wait for both: a rollback must not overtake one that is still changing something."""
    for result in await asyncio.gather(scale_live(plan), create_candidate(plan), return_exceptions=True):
        if result is not None:
            raise result


async def _approval(plan: Plan, stage: StageConfig, evidence: list[Evidence]) -> Decision | None:
    """Ask before the stage where it says so, and wherever the judge could not tell."""
    if not stage.approval and evidence[-1].verdict != Verdict.UNDECIDED:
        return None
    question = f"Give {plan.candidate} {stage.traffic}% of the traffic of {plan.endpoint}?"
    return await ask(plan, stage, evidence, question=question)


async def _last_doubt(plan: Plan, stage: StageConfig, evidence: list[Evidence], decisions: list[Decision]) -> None:
    """No stage follows the last one, so its undecided verdict needs a question of its own."""
    if evidence[-1].verdict == Verdict.UNDECIDED:
        question = f"The judge is undecided. Keep {plan.candidate} at {stage.traffic}% of {plan.endpoint}?"
        decisions.append(await ask(plan, stage, evidence, question=question, again=True))
        await recheck(plan, stage, stage.judge, evidence[-1], decisions[-1])  # the way back is deleted next


async def _retired(plan: Plan) -> str:
    """Retire the old deployment; return what is to be said if that failed, which is no reason to go back any more."""
    try:
        await retire_old(plan)
    except Lost:
        raise
    except SaferolloutError as error:
        return f"; {plan.live} is still there ({error}): the same command, or `saferollout retire`, removes it"
    return ""


async def _back(
    project: Project, plan: Plan | None, failure: Exception, evidence: list[Evidence], decisions: list[Decision]
) -> State[Any]:
    """Roll back what this run began, report, and end the run Failed with the reason in one line."""
    if isinstance(failure, GateFailed) and failure.evidence:
        evidence.append(failure.evidence)
    if isinstance(failure, Rejected) and failure.decision:
        decisions.append(failure.decision)
    if plan is None and not may_have_begun():
        raise _not_begun(failure)
    reason = str(failure) or type(failure).__name__
    try:
        undone = await roll_back_own(project.config.workspace, project.endpoint, str(run_id()))
    except SaferolloutError as error:
        if isinstance(error, Missing) and isinstance(failure, Missing):
            raise failure from None  # with the endpoint, all that was begun is gone
        kind = Drifted if isinstance(error, Drifted) else NotRestored
        msg = (
            f"NOT rolled back: {error} (after: {reason}); look, then `saferollout rollback --force {project.endpoint}`"
        )
        raise kind(msg) from failure
    if undone is None:
        raise failure  # nothing was begun, or somebody has undone it already
    outcome = await report(plan or Plan.of(project, undone), "rolled_back", reason, decisions, evidence)
    message = f"rolled back: {reason}"
    if isinstance(failure, Stopped) and failure.cancelled:
        return Cancelled(message=message, data=outcome)
    return Failed(message=message, data=outcome)


def _not_begun(failure: Exception) -> Exception:
    """What is to be said when a run ends before it changed anything."""
    if not isinstance(failure, AzureFailed):
        return failure
    msg = f"{failure}; nothing was begun: start the rollout again when Azure answers"
    return AzureFailed(msg, status=failure.status, retryable=failure.retryable)
