"""Mirror: copies of users' requests go to the candidate, whose answers nobody sees, while the judge looks."""

from prefect import task

from saferollout.config.rollout import ShadowConfig
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.domain.fault_points import Step
from saferollout.rollout import mirror as mirroring
from saferollout.rollout.rollout import Rollout
from tasks.judge import judge_gate
from tasks.support.access import in_workspace
from tasks.support.boundaries import bounded
from tasks.support.names import named
from tasks.support.policy import GATE


@task(task_run_name=named("mirror {shadow.mirror}% to {rollout.candidate}"), **GATE)
@bounded(Step.MIRROR)
async def mirror(rollout: Rollout, shadow: ShadowConfig, earlier: Evidence) -> Evidence:
    """Judge the candidate in the shadow of the live deployment, and stop mirroring.

    Returns healthy or undecided evidence.

    Raises:
        GateFailed: Harm is shown, or undecided means failed; the rollback then stops mirroring with its first change.
    """
    gate = f"shadow at {shadow.mirror}%"
    if rollout.share:
        return earlier.model_copy(
            update={
                "gate": gate,
                "verdict": GateVerdict.PASSED,
                "summary": "judged before users were on the candidate",
                "checks": [],
                "pictures": [],
            }
        )
    await in_workspace(rollout, lambda azure: mirroring.mirror_traffic(azure, rollout, shadow.mirror))
    evidence = await judge_gate(rollout, shadow.judge, gate, "shadow", earlier, mirrored=True)
    await in_workspace(rollout, lambda azure: mirroring.mirror_traffic(azure, rollout, 0))
    return evidence
