"""Judging: what the judge's steps have in common, from the sources to the artifacts."""

import asyncio

from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

from saferollout.errors import GateFailed
from saferollout.evidence import Evidence
from saferollout.judge import Verdict
from saferollout.judge_config import JudgeConfig, WhenUndecided
from saferollout.pictures import illustrated, markdown
from saferollout.plan import Plan
from saferollout.sources.chosen import chosen
from saferollout.watch import watch
from tasks.access import in_workspace, scorer_of
from tasks.artifacts import shown
from tasks.progress import Progress


async def judged(
    plan: Plan, config: JudgeConfig, gate: str, key: str, earlier: Evidence | None, *, mirrored: bool = False
) -> Evidence:
    """Return healthy or undecided evidence; GateFailed as soon as harm is shown, or if undecided means failed."""
    state = await in_workspace(plan, lambda azure: azure.existing(plan.endpoint))
    requests = await asyncio.to_thread(plan.project.requests)
    progress = Progress(f"{plan.endpoint}-{gate}")
    sources = chosen(
        config, state, requests, lambda: scorer_of(plan, plan.endpoint),
        candidate=plan.candidate, live=plan.live, mirrored=mirrored, answer_schema=plan.project.answer_schema,
    )  # fmt: skip
    found = await watch(sources, config, gate, earlier=earlier, progress=progress.show)
    await progress.show(1.0, found.summary)
    evidence = await shown(asyncio.to_thread(illustrated, found)) or found
    key = f"{plan.endpoint.lower()}-{key}"
    await shown(acreate_table_artifact(table=evidence.table(), key=key, description=evidence.summary))
    await shown(
        acreate_markdown_artifact(markdown=markdown(evidence), key=f"{key}-plots", description=evidence.summary)
    )
    undecided_fails = config.when_undecided is not WhenUndecided.ASK
    if evidence.verdict == Verdict.HARMFUL or (evidence.verdict == Verdict.UNDECIDED and undecided_fails):
        raise GateFailed(evidence.summary, evidence)
    return evidence
