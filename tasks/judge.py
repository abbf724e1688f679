"""Judge: compare candidate and live while the candidate has its share of the traffic."""

import asyncio

from prefect import task
from prefect.artifacts import acreate_table_artifact

from saferollout.config import StageConfig
from saferollout.domain import Plan
from saferollout.errors import GateFailed
from saferollout.evidence import Evidence
from saferollout.judge import Verdict
from saferollout.judge_config import WhenUndecided
from saferollout.sources.probes import Probes
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
    probes = Probes(
        lambda: scorer_of(plan, plan.endpoint),
        requests,
        stage.judge,
        candidate=plan.candidate,
        live=plan.live,
        instances=min(state.deployments[name].instance_count for name in (plan.candidate, plan.live)),
    )
    evidence = await watch([probes], stage.judge, gate, earlier=earlier, progress=progress.show)
    await progress.show(1.0, evidence.summary)
    await acreate_table_artifact(
        table=evidence.table(), key=f"{plan.endpoint.lower()}-judge-{stage.traffic}", description=evidence.summary
    )
    undecided_fails = stage.judge.when_undecided is not WhenUndecided.ASK
    if evidence.verdict == Verdict.HARMFUL or (evidence.verdict == Verdict.UNDECIDED and undecided_fails):
        raise GateFailed(evidence.summary, evidence)
    return evidence
