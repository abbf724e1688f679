"""Anew: the candidate, which somebody else changed, has to pass every gate again."""

from prefect import task
from prefect.logging import get_run_logger

from saferollout.config.rollout import OnDrift
from saferollout.domain.errors import Changed
from saferollout.rollout import anew
from saferollout.rollout.rollout import Rollout
from tasks.support import history
from tasks.support.access import in_workspace
from tasks.support.keys import load_keys
from tasks.support.names import named
from tasks.support.orchestrator import insist
from tasks.support.policy import STEP


@task(task_run_name=named("begin anew with {rollout.candidate}"), **STEP)
async def begin_anew(rollout: Rollout, change: str) -> Rollout:
    """Put the change into the history, once, and begin anew; see `saferollout.rollout.anew.begin_anew`.

    Azure may have shown what was no longer, or not yet, so: then the rollout goes on.

    Raises:
        Changed: The config wants any drift rolled back.
    """
    if not await in_workspace(rollout, lambda azure: anew.is_changed(azure, rollout)):
        get_run_logger().warning("the candidate is as it was tested, although Azure showed: %s", change)
        return rollout
    grace_s = rollout.project.config.orchestrator_grace_s
    keys = await insist(load_keys, grace_s)
    key = f"change-{rollout.changes + 1}"
    if key not in await insist(lambda: history.rulings(rollout.endpoint, rollout.id, keys), grace_s):
        event = history.event_of(rollout, "change", change, question=key)
        await insist(lambda: history.append(event, keys), grace_s)
    if rollout.project.config.on_drift is OnDrift.ROLLBACK:
        raise Changed(change)
    get_run_logger().warning("%s; it is tested anew, and what was approved no longer counts", change)
    return await in_workspace(rollout, lambda azure: anew.begin_anew(azure, rollout))
