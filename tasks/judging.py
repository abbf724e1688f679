"""Judging: what the judge's steps have in common, from the sources to the artifacts."""

import asyncio
from collections.abc import Callable

from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

from saferollout.config.judge import JudgeConfig, WhenUndecided
from saferollout.domain.endpoint import EndpointState
from saferollout.domain.errors import GateFailed
from saferollout.domain.evidence import Evidence, Finding
from saferollout.gates.judging import run_judge
from saferollout.gates.sources.catalogue import make_sources
from saferollout.report.pictures import markdown, with_plots
from saferollout.rollout.rollout import Rollout
from tasks.rollback import put_users_back
from tasks.support.access import in_workspace, scorer_of
from tasks.support.artifacts import publish
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
    """Judge the candidate, and return healthy or undecided evidence.

    The users are back on the live deployment before anything is reported. With `harm_only` nothing is reported but
    harm.

    Raises:
        GateFailed: Harm is shown, the verdict is undecided and that means failed, or a deployment is gone.
        Lost: The rollout is somebody else's by now.
        Stopped: The run is not to go on.
    """
    state = await in_workspace(rollout, lambda azure: azure.get_endpoint(rollout.endpoint))
    rollout.own_candidate(state)
    rollout.live_in(state)
    async with Progress(f"{rollout.endpoint}-{gate}") as progress:
        watching = watch(rollout, state, config, gate, earlier, mirrored=mirrored, report=progress.report)
        evidence = await ThisRun(rollout.project.config.orchestrator_grace_s).unless_stopped(watching)
    undecided_fails = config.when_undecided is not WhenUndecided.ASK
    failed = evidence.verdict == Finding.HARMFUL or (evidence.verdict == Finding.UNDECIDED and undecided_fails)
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
