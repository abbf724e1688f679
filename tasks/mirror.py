"""Mirror: copies of users' requests go to the candidate, whose answers nobody sees, while the judge looks."""

from prefect import task

from saferollout.azure.workspace import Workspace
from saferollout.config.rollout import ShadowConfig
from saferollout.domain.endpoint import describe
from saferollout.domain.errors import Refused
from saferollout.domain.evidence import Evidence
from saferollout.rollout.rollout import Plan
from tasks.judging import judged
from tasks.support.access import in_workspace
from tasks.support.policy import GATE


@task(task_run_name="mirror {shadow.mirror}% to {plan.candidate}", **GATE)
async def mirror(plan: Plan, shadow: ShadowConfig, earlier: Evidence) -> Evidence:
    """Judge the candidate in the shadow of the live deployment, and stop mirroring.

    Returns healthy or undecided evidence. Raises GateFailed as soon as harm is shown, or if undecided means failed; the
    rollback stops mirroring then, with its very first change.
    """
    gate = f"shadow at {shadow.mirror}%"
    if plan.stage:
        return earlier.model_copy(
            update={"gate": gate, "verdict": "passed", "summary": "judged before users were on the candidate",
                    "checks": [], "pictures": []}
        )  # fmt: skip
    await in_workspace(plan, lambda azure: _set(azure, plan, {plan.candidate: shadow.mirror}))
    evidence = await judged(plan, shadow.judge, gate, "shadow", earlier, mirrored=True)
    await in_workspace(plan, lambda azure: _set(azure, plan, {}))
    return evidence


def _set(azure: Workspace, plan: Plan, mirrored: dict[str, int]) -> None:
    """Set what is mirrored, if this rollout has the endpoint still; never touch what is mirrored for somebody else."""
    state = azure.existing(plan.endpoint)
    plan.own_record(state.tags)
    if others := state.mirror_without(plan.candidate):
        msg = f"the endpoint mirrors {describe(others)}, and can mirror to one deployment only; stop that first"
        raise Refused(msg)
    azure.update_endpoint(plan.endpoint, mirror=mirrored, tags=plan.advanced)
