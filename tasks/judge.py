"""Judge: compare candidate and live while the candidate has its share of the traffic."""

from prefect import task

from saferollout.config import StageConfig
from saferollout.evidence import Evidence
from saferollout.plan import Plan
from tasks.judging import judged
from tasks.policy import GATE


@task(task_run_name="judge {plan.candidate} at {stage.traffic}%", **GATE)
async def judge(plan: Plan, stage: StageConfig, earlier: Evidence | None) -> Evidence:
    """Return healthy or undecided evidence; GateFailed as soon as harm is shown, or if undecided means failed."""
    gate = f"judge at {stage.traffic}%"
    if plan.stage > stage.traffic:
        return Evidence(gate=gate, verdict="passed", summary="judged before this run took the rollout over",
                        state=earlier.state if earlier else {}, cut_points_ms=earlier.cut_points_ms if earlier else [],
                        )  # fmt: skip
    return await judged(plan, stage.judge, gate, f"judge-{stage.traffic}", earlier)
