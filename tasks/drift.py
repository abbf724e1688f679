"""Drift: somebody else changed what the rollout set; a person is asked what is to follow."""

from collections.abc import Sequence

from prefect import task
from prefect.logging import get_run_logger

from saferollout.config.rollout import StageConfig
from saferollout.domain.endpoint import Decision, describe
from saferollout.domain.errors import LEFT_AS_IS, Drifted, LeftAsIs, Rejected
from saferollout.domain.evidence import Evidence
from saferollout.domain.text import one_line
from saferollout.rollout import put_back as putting_back
from saferollout.rollout.record import Record
from saferollout.rollout.rollback import WAY_ON
from saferollout.rollout.rollout import Rollout
from tasks.approval import ask
from tasks.support.access import in_workspace
from tasks.support.names import named
from tasks.support.policy import STEP

LEAVE = "Reject leaves the endpoint as it is and ends the run; so does no answer."
ASIDE = "While this question is open, nothing is changed, and the candidate keeps the traffic that it has."


@task(task_run_name=named("put {rollout.endpoint} back"), **STEP)
async def put_back(rollout: Rollout, at_most: int) -> None:
    """Set again what the rollout had set, and what somebody else has changed."""
    await in_workspace(rollout, lambda azure: putting_back.put_back(azure, rollout, at_most=at_most))


async def settle(
    rollout: Rollout, stage: StageConfig, evidence: Sequence[Evidence], found: Drifted, *, at_most: int
) -> Decision:
    """Ask a person, set again what was changed if the answer is yes, and return it.

    Raises:
        Drifted: What was changed cannot be set again, and the answer is to roll back.
        LeftAsIs: The answer is no, or none comes in time, or there is nothing to go back to.
        Lost: The rollout is somebody else's by now.
    """
    endpoint = rollout.endpoint
    get_run_logger().error("%s; a person is asked what is to follow", found)
    if found.is_hopeless:
        msg = f"{found}; {LEFT_AS_IS}, for there is nothing to go back to: {WAY_ON}"
        raise LeftAsIs(msg)
    record = await in_workspace(rollout, lambda azure: rollout.own_record(azure.get_endpoint(endpoint).tags))
    question, yes = _question(found, record)
    lines = [f"**⚠️ {found}.**", f"Approve: {yes}. {LEAVE}", ASIDE, f"Change {record.drifts + 1} of this rollout."]
    try:
        decision = await ask(
            rollout, stage, evidence, question=question, again=True, shown="\n\n".join(lines), reject=LEAVE
        )
    except Rejected as error:
        who = f"{error.decision.approver} said so" if error.decision else "nobody answered in time"
        why = f" ({error.decision.comment})" if error.decision and error.decision.comment else ""
        msg = (
            f"{found}; {LEFT_AS_IS}, {who}{why}: put it right and go on with `saferollout retry {endpoint}` or the "
            f"same command, or go back with `saferollout rollback --force {endpoint}`"
        )
        raise LeftAsIs(one_line(msg)) from None
    if not found.is_repairable:
        raise found
    try:
        await put_back(rollout, at_most)
    except Drifted as error:  # changed once more meanwhile: the next look finds it, and it is another question
        get_run_logger().error("not put back: %s", error)
    return decision


def _question(found: Drifted, record: Record) -> tuple[str, str]:
    """What is asked, and what a yes leads to."""
    if not found.is_repairable:
        return f"{found}. It cannot be put back. Roll back?", "the rollout is rolled back"
    planned = describe(record.traffic())
    return (
        f"{found}. Put it back to {planned} and go on?",
        f"the traffic becomes {planned} again, with the instances that it needs, and the rollout goes on",
    )
