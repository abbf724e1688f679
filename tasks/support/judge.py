"""Judge: what the judge's steps and the guard have in common, from the sources to the artifacts."""

import asyncio
from collections.abc import Callable

from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

from saferollout.config.judge import JudgeConfig
from saferollout.domain.endpoint import EndpointState
from saferollout.domain.evidence import Evidence
from saferollout.gates.judging import run_judge
from saferollout.gates.sources.catalogue import make_sources
from saferollout.report.pictures import markdown, with_plots
from saferollout.rollout.rollout import Rollout
from tasks.support.access import scorer_of
from tasks.support.artifacts import publish

DRAW_S = 60.0


async def judge_on_sources(
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
