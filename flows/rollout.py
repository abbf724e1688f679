"""The rollout: the order of all its steps."""

import asyncio
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows.cancellation import heed_sigterm, roll_back_cancelled, roll_back_terminated, roll_back_this_run
from flows.naming import name_run
from saferollout.config.project import Project
from saferollout.config.request import Overrides, Person, Reason, RequestId, read_event, read_request
from saferollout.config.rollout import ModelVersion, StageConfig
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import (
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
from saferollout.domain.evidence import Evidence, Finding
from saferollout.report.outcome import Outcome
from saferollout.rollout.hold import hold_for
from saferollout.rollout.rollout import Rollout
from tasks.approval import ask
from tasks.baseline import take_baseline
from tasks.create import create_candidate
from tasks.judge import judge
from tasks.mirror import mirror
from tasks.preflight import preflight
from tasks.recheck import recheck
from tasks.report import nothing_to_do, report
from tasks.resolve import resolve_labels
from tasks.retire import retire_old
from tasks.rollback import roll_back_own
from tasks.scale import scale_candidate, scale_live
from tasks.shift import shift_traffic
from tasks.smoke_test import smoke_test
from tasks.support.names import recall_steps
from tasks.support.this_run import ThisRun, may_have_begun, run_id
from tasks.verify import verify_traffic


@flow(
    persist_result=True,
    result_serializer="json",
    on_cancellation=[roll_back_cancelled],
    on_crashed=[roll_back_terminated],
)
async def rollout(
    config: str = "configs/rollout.yaml",
    model: ModelVersion | None = None,
    event: str = "",
    wait: bool = False,
    again: bool = False,
    by: Person = "",
    why: Reason = "",
    request_id: RequestId = "",
    overrides: Overrides | None = None,
) -> Outcome | State[Any]:
    """Put a new version of a model into production gate by gate, and go back on any doubt.

    Args:
        config: Path of the rollout's config, or its name: `fraud` is `configs/fraud.yaml`.
        model: A registered model to roll out instead of the one in the deployment's YAML.
        event: The payload of the event that started the run, as JSON; it takes the place of all else. Else leave it
            empty.
        wait: Where another rollout of the endpoint is under way, wait for its end, for a day at most.
        again: Roll the revision out although it is held: it was rolled back for harm, or rejected. For people only.
        by: Who asks for the rollout, for the report.
        why: Why, for the report.
        request_id: A second request of the endpoint with the same id starts nothing.
        overrides: What this rollout is to do otherwise than the config says.
    """
    heed_sigterm()
    await recall_steps()
    try:
        asked = {"config": config, "model": model, "by": by, "why": why, "request_id": request_id}
        request = read_event(event) if event else read_request(asked | {"overrides": overrides or Overrides()})
        project = await preflight(request)
        project = project.with_assets(await resolve_labels(project))
    except Exception:
        await roll_back_this_run()
        raise
    rollout: Rollout | None = None
    decisions: list[Decision] = []
    evidence: list[Evidence] = []
    try:
        begun = await take_baseline(project, wait, (by or "somebody who named nobody") if again else "")
        if not isinstance(begun, Rollout):
            outcome = await nothing_to_do(project, begun)
            return Completed(message=outcome.reason, data=outcome)
        rollout = begun
        run = ThisRun(project.config.orchestrator_grace_s)
        await name_run(f"rollout {rollout.endpoint} {rollout.candidate} ← {rollout.project.label}")
        await run.step(_both(rollout))
        await run.step(verify_traffic(rollout))
        evidence.append(await run.step(smoke_test(rollout)))
        if shadow := project.config.shadow:
            evidence.append(await run.step(mirror(rollout, shadow, evidence[-1])))
        judged_by = shadow.judge if shadow else project.config.stages[0].judge
        for stage in project.config.stages:
            decision = await run.step(_approval(rollout, stage, evidence))
            decisions += [decision] if decision else []
            if stage.traffic > rollout.share:
                await run.step(scale_candidate(rollout, stage))
                await run.step(recheck(rollout, stage, judged_by, evidence, decision))
            await run.step(shift_traffic(rollout, stage, decision))
            evidence.append(await judge(rollout, stage, evidence[-1]))  # also while Prefect is away
            judged_by = stage.judge
        await run.step(_last_doubt(rollout, stage, evidence, decisions))
    except Lost:
        raise  # somebody rolled this rollout back: the endpoint is no longer ours
    except Exception as failure:  # noqa: BLE001  # whatever fails: users get the live deployment back
        return await _back(project, rollout, failure, evidence, decisions)
    reason = f"{rollout.candidate} passed every gate and has all traffic" + await _retired(rollout)
    return await report(rollout, "promoted", reason, decisions, evidence)


async def _both(rollout: Rollout) -> None:
    """Do both at once and wait for both: a rollback must not overtake one that is still changing something."""
    for result in await asyncio.gather(scale_live(rollout), create_candidate(rollout), return_exceptions=True):
        if result is not None:
            raise result


async def _approval(rollout: Rollout, stage: StageConfig, evidence: list[Evidence]) -> Decision | None:
    """Ask before the stage where it says so, and wherever a gate since the last one could not decide."""
    gates = evidence if stage == rollout.project.config.stages[0] else evidence[-1:]
    if not stage.approval and Finding.UNDECIDED not in (gate.verdict for gate in gates):
        return None
    question = f"Give {rollout.candidate} {stage.traffic}% of the traffic of {rollout.endpoint}?"
    return await ask(rollout, stage, evidence, question=question)


async def _last_doubt(
    rollout: Rollout, stage: StageConfig, evidence: list[Evidence], decisions: list[Decision]
) -> None:
    """No stage follows the last one, so its undecided verdict needs a question of its own."""
    if evidence[-1].verdict == Finding.UNDECIDED:
        question = f"The judge is undecided. Keep {rollout.candidate} at {stage.traffic}% of {rollout.endpoint}?"
        decisions.append(await ask(rollout, stage, evidence, question=question, again=True))
        await recheck(rollout, stage, stage.judge, evidence, decisions[-1])  # the way back is deleted next


async def _retired(rollout: Rollout) -> str:
    """Retire the old deployment; return what to report if that failed, which no longer makes the rollout go back."""
    try:
        await retire_old(rollout)
    except Lost:
        raise
    except SaferolloutError as error:
        return f"; {rollout.live} is still there ({error}): the same command, or `saferollout retire`, removes it"
    return ""


async def _back(
    project: Project, rollout: Rollout | None, failure: Exception, evidence: list[Evidence], decisions: list[Decision]
) -> State[Any]:
    """Roll back what this run began, report, and end the run Failed with the reason in one line."""
    if isinstance(failure, GateFailed) and failure.evidence:
        evidence.append(failure.evidence)
    if isinstance(failure, Rejected) and failure.decision:
        decisions.append(failure.decision)
    if rollout is None and not may_have_begun():
        raise _not_begun(failure)
    reason = str(failure) or type(failure).__name__
    hold = hold_for(failure, project.revision, project.label)
    try:
        rolled_back = await roll_back_own(project.config.workspace, project.endpoint, str(run_id()), project, hold)
    except SaferolloutError as error:
        if isinstance(error, Missing) and isinstance(failure, Missing):
            raise failure from None  # with the endpoint, all that was begun is gone
        kind = Drifted if isinstance(error, Drifted) else NotRestored
        msg = (
            f"NOT rolled back: {error} (after: {reason}); look, then `saferollout rollback --force {project.endpoint}`"
        )
        raise kind(msg) from failure
    if rolled_back is None:
        raise failure  # nothing was begun, or somebody has rolled it back already
    rollout = rollout or Rollout.of(project, rolled_back)
    outcome = await report(rollout, "rolled_back", reason, decisions, evidence, hold)
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
