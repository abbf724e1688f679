"""The rollout: the order of all its steps."""

import asyncio
from typing import Any

from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.exceptions import Abort
from prefect.states import Cancelled, Completed, Failed

from flows.approval import approve, approve_in_doubt
from flows.cancellation import heed_sigterm, roll_back_cancelled, roll_back_terminated, roll_back_this_run
from flows.run_names import name_run
from flows.steps import Steps
from saferollout.config.model_version import ModelVersion
from saferollout.config.project import Project
from saferollout.config.request import Overrides, Person, Reason, RequestId, read_event, read_request
from saferollout.config.rollout import OnDrift, StageConfig
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import (
    AzureFailed,
    Changed,
    Drifted,
    GateFailed,
    LeftAsIs,
    Lost,
    Missing,
    NotRolledBack,
    Rejected,
    SaferolloutError,
    Stopped,
    Superseded,
    words_of,
)
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.report.message import end_message, failed_rollback_message
from saferollout.report.outcome import Outcome
from saferollout.rollout.hold import hold_for
from saferollout.rollout.rollout import Rollout
from tasks.anew import begin_anew
from tasks.begin import take_baseline
from tasks.create import create_candidate
from tasks.judge import judge
from tasks.mirror import mirror
from tasks.preflight import check_approvals, preflight
from tasks.recheck import recheck
from tasks.report import nothing_to_do, report
from tasks.resolve import resolve_labels
from tasks.retire import forget, retire_old
from tasks.rollback import roll_back_own
from tasks.scale import scale_candidate, scale_live
from tasks.shift import shift_traffic
from tasks.smoke_test import smoke_test
from tasks.support.broken_pipe import outlive_reader
from tasks.support.messages import send_message
from tasks.support.names import recall_steps
from tasks.support.this_run import may_have_begun, run_id
from tasks.thaw import is_frozen, thaw
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
    ignore_freeze: str = "",
) -> Outcome | State[Any]:
    """Put a new version of a model into production gate by gate, and go back on any doubt.

    Args:
        config: Path of the rollout's config, or its name: `fraud` is `configs/fraud.yaml`.
        model: A registered model to roll out instead of the one in the deployment's YAML.
        event: The payload of the event that started the run, as JSON; it takes the place of all else. Else leave it
            empty.
        wait: Where another rollout of the endpoint is under way, wait for its end, for a day at most.
        again: Roll the revision out although it is held: it was rolled back for harm, or rejected. For people only.
        by: Who asks for the rollout, for the record; nobody checks it.
        why: Why, for the report.
        request_id: A second request of the endpoint with the same id starts nothing.
        overrides: What this rollout is to do otherwise than the config says.
        ignore_freeze: Why the candidate gets traffic in freeze windows, too; empty: it waits for their end. For people.

    Raises:
        Abort: Another process of this run goes on with it.
        LeftAsIs: Somebody else changed the endpoint, and nobody wants it put back.
        Lost: Somebody rolled this rollout back, or replaced it.
    """
    heed_sigterm()
    if runtime.deployment.id:
        outlive_reader()
    await recall_steps()
    try:
        asked = {"config": config, "model": model, "by": by, "why": why, "request_id": request_id}
        request = read_event(event) if event else read_request(asked | {"overrides": overrides or Overrides()})
        project = await preflight(request)
        await check_approvals(project)
        project = project.on_this_machine().with_assets(await resolve_labels(project))
    except Exception:
        await roll_back_this_run()
        raise
    rollout: Rollout | None = None
    decisions: list[Decision] = []
    evidence: list[Evidence] = []
    try:
        named = request.by or "somebody who gave no name"
        begun = await take_baseline(project, wait, named if again else "", is_event=bool(event))
        if not isinstance(begun, Rollout):
            outcome = await nothing_to_do(project, begun)
            return Completed(message=outcome.reason, data=outcome)
        rollout = begun
        if reason := ignore_freeze.strip():
            rollout = rollout.model_copy(update={"freeze_ignored": f"{named}: {reason}"})
        await name_run(f"rollout {rollout.endpoint} {rollout.candidate} ← {rollout.project.label}")
        kept, run = None, Steps(rollout, decisions, evidence)
        while kept is None:
            try:
                kept = await _promote(run, rollout, decisions, evidence)
            except Changed as change:
                rollout = await run.step(begin_anew, rollout.tested(evidence), str(change))
                decisions.clear()  # the history has what was decided about what the candidate was
                evidence.clear()
                run = Steps(rollout, decisions, evidence)
    except Superseded as superseded:
        raise Abort(str(superseded)) from None  # so that the run's state, too, stays the other process's
    except (Lost, LeftAsIs):
        raise  # somebody rolled this rollout back, or changed the endpoint: it is no longer ours
    except Exception as failure:  # noqa: BLE001  # whatever fails: users get the live deployment back
        return await _roll_back(project, rollout, failure, evidence, decisions)
    rollout = rollout.tested(evidence)
    reason = f"{rollout.candidate} passed every gate and has all traffic" + kept
    outcome = await report(rollout, "promoted", reason, decisions, evidence)
    await forget(rollout)
    await send_message(project.config.notify, run_id(), end_message(outcome))
    return outcome


async def _promote(run: Steps, rollout: Rollout, decisions: list[Decision], evidence: list[Evidence]) -> str:
    """All steps, gate by gate; returns what to report besides.

    Raises:
        Changed: Somebody else changed the candidate, which has to pass every gate again.
    """
    config = rollout.project.config
    await run.step(_both, rollout)
    await run.step(verify_traffic, rollout)
    evidence.append(await run.step(smoke_test, rollout))
    rollout = rollout.tested(evidence)
    if shadow := config.shadow:
        evidence.append(await run.step(mirror, rollout, shadow, evidence[-1]))
    judged_by = shadow.judge if shadow else config.stages[0].judge
    for stage in config.stages:
        run.stage = stage
        await run.step(thaw, rollout, stage, asked=False)
        decision = await run.step(approve, rollout, stage, evidence)
        decisions += [decision] if decision else []
        is_ahead = stage.traffic > rollout.share
        while is_ahead:
            await run.step(thaw, rollout, stage, asked=True)
            await run.step(scale_candidate, rollout, stage)
            await run.step(recheck, rollout, stage, judged_by, evidence, decision)
            is_ahead = is_frozen(rollout)  # a window may have begun meanwhile
        run.may_reach(stage)
        await run.step(shift_traffic, rollout, stage, decision)
        evidence.append(await run.anyway(judge, rollout, stage, evidence[-1]))  # also while Prefect is away
        judged_by = stage.judge
    await run.step(_last_doubt, rollout, stage, evidence, decisions)
    return await _retired(run, rollout)


async def _both(rollout: Rollout) -> None:
    """Do both at once and wait for both: a rollback must not overtake one that is still changing something."""
    for result in await asyncio.gather(scale_live(rollout), create_candidate(rollout), return_exceptions=True):
        if result is not None:
            raise result


async def _last_doubt(
    rollout: Rollout, stage: StageConfig, evidence: list[Evidence], decisions: list[Decision]
) -> None:
    """No stage follows the last one, so its undecided verdict needs a question of its own."""
    if evidence[-1].verdict == GateVerdict.UNDECIDED:
        decisions.append(await approve_in_doubt(rollout, stage, evidence))
        await recheck(rollout, stage, stage.judge, evidence, decisions[-1])  # the way back is deleted next


async def _retired(run: Steps, rollout: Rollout) -> str:
    """Retire the old deployment; return what to report if Azure failed, which no longer makes the rollout go back.

    Raises:
        Drifted: Somebody else changed the endpoint, and it is to be rolled back.
        Lost: The rollout is somebody else's by now.
        Stopped: The run is not to go on.
    """
    try:
        await run.step(retire_old, rollout)
    except (Lost, Drifted, Stopped):
        raise
    except SaferolloutError as error:
        return f"; {rollout.live} is still there ({error}): the same command, or `saferollout retire`, removes it"
    return ""


async def _roll_back(
    project: Project, rollout: Rollout | None, failure: Exception, evidence: list[Evidence], decisions: list[Decision]
) -> State[Any]:
    """Roll back what this run began, report, and end the run Failed with the reason in one line.

    Raises:
        Drifted: It was not rolled back, for somebody else changed the endpoint.
        NotRolledBack: It was not rolled back for another reason.
        Exception: The failure itself, where nothing was begun, or nothing of it is left.
    """
    if isinstance(failure, GateFailed) and failure.evidence:
        evidence.append(failure.evidence)
    if isinstance(failure, Rejected) and failure.decision:
        decisions.append(failure.decision)
    if rollout is None and not may_have_begun():
        failure = _not_begun(failure)
        raise failure
    reason = words_of(failure)
    hold = hold_for(failure, project.revision, project.label)
    # that of a step means: a person, or the config, wants it rolled back all the same
    force = project.config.on_drift is OnDrift.ROLLBACK or (rollout is not None and isinstance(failure, Drifted))
    try:
        rolled_back = await roll_back_own(
            project.config.workspace, project.endpoint, str(run_id()), project, hold, force=force, forgets=False
        )
    except SaferolloutError as error:
        if isinstance(error, Missing) and isinstance(failure, Missing):
            raise failure from None  # with the endpoint, all that was begun is gone
        kind = Drifted if isinstance(error, Drifted) else NotRolledBack
        msg = (
            f"NOT rolled back: {error} (after: {reason}); check the endpoint, then run "
            f"`saferollout rollback --force {project.endpoint}`"
        )
        await send_message(project.config.notify, run_id(), failed_rollback_message(project.endpoint, msg))
        raise kind(msg) from failure
    if rolled_back is None:
        raise failure  # nothing was begun, or somebody has rolled it back already
    rollout = rollout or Rollout.of(project, rolled_back)
    try:
        outcome = await report(rollout, "rolled_back", reason, decisions, evidence, hold)
    finally:
        await forget(rollout)
    await send_message(project.config.notify, run_id(), end_message(outcome))
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
