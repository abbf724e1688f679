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
from tasks.artifacts import show
from tasks.progress import Progress
from tasks.rollback import put_users_back
from tasks.this_run import ThisRun

DRAW_S = 60.0


async def judged(
    plan: Plan, config: JudgeConfig, gate: str, key: str, earlier: Evidence | None, *,
    mirrored: bool = False, harm_only: bool = False,
) -> Evidence:  # fmt: skip
    """Return healthy or undecided evidence; GateFailed as soon as harm is shown, or if undecided means failed.

    The users are back on the live deployment before anything is told of it. With ``harm_only`` nothing is told but
    harm. Raises Stopped when the run is not to go on.
    """
    state = await in_workspace(plan, lambda azure: azure.existing(plan.endpoint))
    requests = await asyncio.to_thread(plan.project.requests)
    sources = chosen(
        config, state, requests, lambda: scorer_of(plan, plan.endpoint),
        candidate=plan.candidate, live=plan.live, mirrored=mirrored, answer_schema=plan.project.answer_schema,
    )  # fmt: skip
    async with Progress(f"{plan.endpoint}-{gate}") as progress:
        watching = watch(sources, config, gate, earlier=earlier, report=progress.report)
        evidence = await ThisRun(plan.project.config.orchestrator_grace_s).unless_stopped(watching)
    undecided_fails = config.when_undecided is not WhenUndecided.ASK
    failed = evidence.verdict == Verdict.HARMFUL or (evidence.verdict == Verdict.UNDECIDED and undecided_fails)
    if failed and not await put_users_back(plan):
        raise GateFailed(evidence.summary, evidence)  # the rollback insists, and nothing is to keep it
    if harm_only and not failed:
        return evidence
    (drawn,) = await show(asyncio.to_thread(illustrated, evidence), limit_s=DRAW_S)
    evidence = drawn or evidence
    key = f"{plan.endpoint.lower()}-{key}"
    await show(
        progress.show(1.0, evidence.summary),
        acreate_table_artifact(table=evidence.table(), key=key, description=evidence.summary),
        acreate_markdown_artifact(markdown=markdown(evidence), key=f"{key}-plots", description=evidence.summary),
    )
    if failed:
        raise GateFailed(evidence.summary, evidence)
    return evidence
