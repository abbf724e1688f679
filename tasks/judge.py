"""Judge: compare candidate and live while the candidate has its share of the traffic."""

from prefect import task

from saferollout.config.rollout import StageConfig
from saferollout.domain.evidence import Evidence
from saferollout.domain.fault_points import Step
from saferollout.rollout.rollout import Rollout
from tasks.judging import judge_gate
from tasks.support.boundaries import bounded
from tasks.support.names import named
from tasks.support.policy import GATE


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
