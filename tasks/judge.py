"""Judge: compare candidate and live while the candidate has its share of the traffic."""

import asyncio

from prefect import task
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

from saferollout.config import StageConfig
from saferollout.domain import Plan
from saferollout.errors import GateFailed
from saferollout.evidence import Evidence
from saferollout.judge import Verdict
from saferollout.judge_config import WhenUndecided
from saferollout.pictures import illustrated, markdown
from saferollout.sources.chosen import chosen
from saferollout.watch import watch
from tasks.access import in_workspace, project_of, scorer_of
from tasks.policy import GATE
from tasks.progress import Progress


@task(task_run_name="judge {plan.candidate} at {stage.traffic}%", **GATE)
async def judge(plan: Plan, stage: StageConfig, earlier: Evidence | None) -> Evidence:
    """Return healthy or undecided evidence; GateFailed as soon as harm is shown, or if undecided means failed."""
    gate = f"judge at {stage.traffic}%"
    if plan.stage > stage.traffic:
        return Evidence(gate=gate, verdict="passed", summary="judged before this run took the rollout over",
                        state=earlier.state if earlier else {}, cut_points_ms=earlier.cut_points_ms if earlier else [],
                        )  # fmt: skip
    state = await in_workspace(plan, lambda azure: azure.existing(plan.endpoint))
    requests = await asyncio.to_thread(project_of(plan).requests)
    progress = Progress(f"{plan.endpoint}-{gate}")
    sources = chosen(
        stage.judge, state, requests, lambda: scorer_of(plan, plan.endpoint), candidate=plan.candidate, live=plan.live
    )
    evidence = await watch(sources, stage.judge, gate, earlier=earlier, progress=progress.show)
    await progress.show(1.0, evidence.summary)
    evidence = await asyncio.to_thread(illustrated, evidence)
    key = f"{plan.endpoint.lower()}-judge-{stage.traffic}"
    await acreate_table_artifact(table=evidence.table(), key=key, description=evidence.summary)
    await acreate_markdown_artifact(markdown=markdown(evidence), key=f"{key}-plots", description=evidence.summary)
    undecided_fails = stage.judge.when_undecided is not WhenUndecided.ASK
    if evidence.verdict == Verdict.HARMFUL or (evidence.verdict == Verdict.UNDECIDED and undecided_fails):
        raise GateFailed(evidence.summary, evidence)
    return evidence
