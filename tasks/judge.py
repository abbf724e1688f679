"""Judge: compare candidate and live while the candidate has its share of the traffic."""

from prefect import task
from prefect.client.schemas.objects import FlowRun
from prefect.logging import get_run_logger

from saferollout.config.judge import JudgeConfig, WhenUndecided
from saferollout.config.rollout import StageConfig
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import GateFailed
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.domain.fault_points import Step
from saferollout.rollout import drift
from saferollout.rollout.record import Record
from saferollout.rollout.rollout import Rollout
from saferollout.rollout.skip import note_skip
from tasks.rollback import put_users_back
from tasks.support.access import in_workspace
from tasks.support.artifacts import publish
from tasks.support.boundaries import bounded
from tasks.support.judge import judge_on_sources, publish_evidence
from tasks.support.labels import SKIP_JUDGE, asked_of
from tasks.support.names import named
from tasks.support.policy import GATE
from tasks.support.progress import Progress
from tasks.support.this_run import ThisRun


@task(task_run_name=named("judge {rollout.candidate} at {stage.traffic}%"), **GATE)
@bounded(Step.JUDGE)
async def judge(rollout: Rollout, stage: StageConfig, earlier: Evidence | None) -> Evidence:
    """Return healthy or undecided evidence.

    A rollout that another run brought further is judged here once more, at the share that its candidate has by now:
    that a stage is past is recorded in a tag, which anybody may have written.

    Raises:
        GateFailed: Harm is shown, or the verdict is undecided and that means failed.
    """
    return await judge_gate(rollout, stage.judge, f"judge at {stage.traffic}%", f"judge-{stage.traffic}", earlier)


async def judge_gate(
    rollout: Rollout,
    config: JudgeConfig,
    gate: str,
    key: str,
    earlier: Evidence | None,
    *,
    mirrored: bool = False,
    harm_only: bool = False,
) -> Evidence:
    """Judge the candidate, and return healthy or undecided evidence; or none, where a person lets the judge be skipped.

    That is put on the endpoint's record first, so that each such wish is for one gate only. The users are back on the
    live deployment before anything is reported. With `harm_only` nothing is reported but harm.

    Raises:
        GateFailed: Harm is shown, the verdict is undecided and that means failed, or a deployment is gone.
        Lost: The rollout is somebody else's by now.
        Stopped: The run is not to go on.
    """
    state = await in_workspace(rollout, lambda azure: drift.require_unchanged(azure, rollout, is_settled=False))
    record = rollout.own_record(state.tags)
    async with Progress(f"{rollout.endpoint}-{gate}") as progress:
        judging = judge_on_sources(rollout, state, config, gate, earlier, mirrored=mirrored, report=progress.report)
        evidence = await ThisRun(rollout.project.config.orchestrator_grace_s).unless_stopped(
            judging, lambda run: None if harm_only else skipped(run, record, gate, earlier)
        )
    if skip := evidence.skip:
        get_run_logger().warning("%s: %s", gate, evidence.summary)
        await in_workspace(rollout, lambda azure: note_skip(azure, rollout, skip))
        return evidence
    undecided_fails = config.when_undecided is not WhenUndecided.ASK
    failed = evidence.verdict == GateVerdict.HARMFUL or (evidence.verdict == GateVerdict.UNDECIDED and undecided_fails)
    failure = GateFailed(evidence.summary, evidence)
    if failed and not await put_users_back(rollout, failure):
        raise failure  # the rollback insists, and nothing is to keep it
    if harm_only and not failed:
        return evidence
    await publish(progress.show(1.0, evidence.summary))
    evidence = await publish_evidence(evidence, f"{rollout.endpoint.lower()}-{key}")
    if failed:
        raise failure
    return evidence


def skipped(run: FlowRun, record: Record, gate: str, earlier: Evidence | None) -> Evidence | None:
    """Evidence that says who lets the judge be skipped here; None if nobody does, or did so at an earlier gate."""
    asked = asked_of(run, SKIP_JUDGE)
    if asked is None:
        return None
    at = asked.at.replace(microsecond=0)  # as a tag holds it
    if any(skip.at == at for skip in record.skips.values()):
        return None
    skip = Decision(
        share=record.share,
        decision="skip judge",
        approver=asked.by,
        comment=asked.comment,
        at=at,
        evidence="",
        rollout=record.rollout,
        revision=record.revision,
        flow_run=record.owner.flow_run,
    )
    return Evidence(
        gate=gate,
        verdict=GateVerdict.SKIPPED,
        summary=f"skipped by {asked}",
        skip=skip,
        state=earlier.state if earlier else {},
        cut_points_ms=earlier.cut_points_ms if earlier else [],
    )
