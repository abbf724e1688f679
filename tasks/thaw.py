"""Thaw: wait for the end of a freeze window before a shift. Called from a flow, since a task cannot end its run."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, NoReturn

from prefect import get_client, runtime, task
from prefect.client.schemas import OrchestrationResult
from prefect.client.schemas.objects import State
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import Pause
from prefect.logging import get_run_logger
from prefect.states import Scheduled

from saferollout.approvals.freeze import Freeze, freeze_at
from saferollout.config.rollout import StageConfig
from saferollout.domain.errors import GateFailed
from saferollout.domain.text import one_line
from saferollout.rollout.record import now
from saferollout.rollout.rollout import Rollout
from saferollout.rollout.thaw import note_freeze
from tasks.support.access import in_workspace
from tasks.support.names import named
from tasks.support.policy import STEP
from tasks.support.polling import poll
from tasks.support.progress import Progress
from tasks.support.this_run import ThisRun, run_id

EARLY = timedelta(seconds=1)
"""A run that a worker takes up a little early must not find its window still open."""
POLL_S = 2.0


async def thaw(rollout: Rollout, stage: StageConfig, *, asked: bool) -> None:
    """Return when no freeze window holds; at once where the rollout ignores them, or the stage's share is reached.

    Until it is `asked` who approves the stage, a question that is open already is not a reason to wait: a rejection
    rolls back at once.

    A deployed run ends its process and is scheduled for the end of the window, when the flow starts again from its top.
    Elsewhere the process waits.

    Raises:
        GateFailed: The windows have no end.
    """
    while stage.traffic > rollout.share and (freeze := _freeze(rollout)):
        if rollout.freeze_ignored:
            get_run_logger().warning("%s, which is ignored by %s", freeze, one_line(rollout.freeze_ignored))
            return
        if not await note(rollout, stage, freeze.until, asked):
            return
        get_run_logger().warning("nothing is shifted: %s", freeze)
        await Progress(f"freeze-{rollout.endpoint}").show(0, f"waiting: {freeze}")
        if runtime.deployment.id:
            await _come_back(freeze)
        await ThisRun(rollout.project.config.orchestrator_grace_s).unless_stopped(poll(_is_over(freeze), POLL_S))


def is_frozen(rollout: Rollout) -> bool:
    """Whether a freeze window holds now that the rollout does not ignore."""
    return not rollout.freeze_ignored and _freeze(rollout) is not None


def _freeze(rollout: Rollout) -> Freeze | None:
    try:
        return freeze_at(rollout.project.config.freeze, now())
    except ValueError as error:
        msg = f"freeze: {error}"
        raise GateFailed(msg) from None


@task(task_run_name=named("wait for the end of a freeze"), **STEP)
async def note(rollout: Rollout, stage: StageConfig, until: datetime, asked: bool) -> bool:
    """Put the freeze on the endpoint's record; see `saferollout.rollout.thaw.note_freeze`."""
    return await in_workspace(rollout, lambda azure: note_freeze(azure, rollout, stage.traffic, until, asked=asked))


def _is_over(freeze: Freeze) -> Callable[[], Awaitable[bool | None]]:
    """Looks at the clock: that of `asyncio` stands still while a laptop sleeps."""

    async def look() -> bool | None:
        return now() >= freeze.until or None

    return look


async def _come_back(freeze: Freeze) -> NoReturn:
    """End this process; a worker takes the run up again when the freeze is over.

    Raises:
        Pause: Ends the process, as Prefect's own suspension does.
        GateFailed: Prefect does not let the run wait, as when somebody has just cancelled it.
    """
    state: State[Any] = Scheduled(scheduled_time=freeze.until + EARLY, name="Frozen", message=str(freeze))
    async with get_client() as client:
        answer: OrchestrationResult[Any] = await client.set_flow_run_state(run_id(), state)
    if answer.status is not SetStateStatus.ACCEPT:
        msg = f"the run cannot wait for the end of a freeze: {getattr(answer.details, 'reason', answer.status.value)}"
        raise GateFailed(msg)
    raise Pause(state=state)
