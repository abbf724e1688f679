"""Auto: a stage that approves by itself, bound, signed and recorded as a person's approval is."""

from collections.abc import Sequence

from prefect import task

from saferollout.approvals.tag import sign
from saferollout.config.rollout import StageConfig
from saferollout.domain.endpoint import Decision
from saferollout.domain.evidence import Evidence
from saferollout.rollout import auto, drift
from saferollout.rollout.rollout import Rollout
from tasks.support import history
from tasks.support.access import in_workspace
from tasks.support.keys import load_keys
from tasks.support.names import named
from tasks.support.orchestrator import insist
from tasks.support.policy import STEP
from tasks.support.this_run import run_id


@task(task_run_name=named("approve {stage.traffic}% by itself"), **STEP)
async def approve_by_itself(rollout: Rollout, stage: StageConfig, gates: Sequence[Evidence]) -> Decision | None:
    """The approval of a stage by itself; None where a person is to be asked. See `saferollout.rollout.auto`."""
    decision = auto.approve_by_itself(rollout, stage, gates, str(run_id()))
    if decision is None:
        return None
    state = await in_workspace(rollout, lambda azure: drift.require_unchanged(azure, rollout, is_settled=False))
    bound = {"revision": rollout.revision, "deployment": state.deployments[rollout.candidate].digest}
    grace_s = rollout.project.config.orchestrator_grace_s
    keys = await insist(load_keys, grace_s)
    decision = sign(decision.model_copy(update=bound), keys)
    key = f"auto-{stage.traffic}-{decision.evidence}"
    if key not in await insist(lambda: history.rulings(rollout.endpoint, rollout.id, keys), grace_s):
        event = history.event_of(rollout, "decision", "", decision, question=key)
        await insist(lambda: history.append(event, keys), grace_s)
    return decision
