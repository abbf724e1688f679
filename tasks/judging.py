"""Judging: what the judge's steps have in common, from the sources to the artifacts."""

import asyncio
from collections.abc import Callable

from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.client.schemas.objects import FlowRun
from prefect.logging import get_run_logger

from saferollout.approvals.tag import fitted
from saferollout.azure.workspace import Workspace
from saferollout.config.judge import JudgeConfig, WhenUndecided
from saferollout.domain.endpoint import Decision, EndpointState
from saferollout.domain.errors import GateFailed
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.gates.judging import run_judge
from saferollout.gates.sources.catalogue import make_sources
from saferollout.report.pictures import markdown, with_plots
from saferollout.rollout import drift
from saferollout.rollout.record import Record
from saferollout.rollout.rollout import Rollout
from tasks.rollback import put_users_back
from tasks.support.access import in_workspace, scorer_of
from tasks.support.artifacts import publish
from tasks.support.labels import SKIP_JUDGE, asked_of
from tasks.support.progress import Progress
from tasks.support.this_run import ThisRun

DRAW_S = 60.0


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
        watching = watch(rollout, state, config, gate, earlier, mirrored=mirrored, report=progress.report)
        evidence = await ThisRun(rollout.project.config.orchestrator_grace_s).unless_stopped(
            watching, lambda run: None if harm_only else skipped(run, record, gate, earlier)
        )
    if skip := evidence.skip:
        get_run_logger().warning("%s: %s", gate, evidence.summary)
        await in_workspace(rollout, lambda azure: put_skip_on_record(azure, rollout, skip))
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


async def watch(
    rollout: Rollout,
    state: EndpointState,
    config: JudgeConfig,
    gate: str,
    earlier: Evidence | None,
    *,
    mirrored: bool = False,
    report: Callable[[float, str], None] = lambda _share, _text: None,
) -> Evidence:
    """Judge the candidate on the config's sources; see `saferollout.gates.judging.run_judge`."""
    requests = await asyncio.to_thread(rollout.project.requests)
    sources = make_sources(
        config,
        state,
        requests,
        lambda: scorer_of(rollout, rollout.endpoint),
        candidate=rollout.candidate,
        live=rollout.live,
        mirrored=mirrored,
        answer_schema=rollout.project.answer_schema,
    )
    shares = {} if mirrored else state.traffic
    return await run_judge(sources, config, gate, earlier=earlier, shares=shares, report=report)


async def publish_evidence(evidence: Evidence, key: str) -> Evidence:
    """Publish the evidence as a table and its plots under this key, and return it with the plots."""
    (drawn,) = await publish(asyncio.to_thread(with_plots, evidence), limit_s=DRAW_S)
    evidence = drawn or evidence
    await publish(
        acreate_table_artifact(table=evidence.table(), key=key, description=evidence.summary),
        acreate_markdown_artifact(markdown=markdown(evidence), key=f"{key}-plots", description=evidence.summary),
    )
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


def put_skip_on_record(azure: Workspace, rollout: Rollout, skip: Decision) -> None:
    """Write the decision to skip the judge into the endpoint's tags; raises Lost as `Rollout.own_record`."""
    azure.update_endpoint(
        rollout.endpoint,
        tags=lambda tags: rollout.advanced(tags, skips=rollout.own_record(tags).skips | {skip.share: fitted(skip)}),
    )
