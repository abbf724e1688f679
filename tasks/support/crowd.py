"""The crowd: how many guards are at work at the same time."""

from datetime import timedelta

from prefect import get_client, runtime
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType

from saferollout.rollout.record import now
from tasks.support.artifacts import publish

CROWD = 3
CROWD_S = 240.0
"""So many guards at most begin within so many seconds and are at work."""


async def is_crowded() -> bool:
    """Whether this flow run is one too many: a rollback may wait for Azure for long, and guards come every minute.

    One that was lost counts for a while only. A plain process looks once at a time, so that it is never too many: those
    of its looks that were lost do not keep it from its work.
    """
    if not runtime.deployment.id:
        return False
    since = now() - timedelta(seconds=CROWD_S)
    wanted = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])),
        start_time=FlowRunFilterStartTime(after_=since),
    )
    async with get_client() as client:
        (found,) = await publish(
            client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=["guard"])), flow_run_filter=wanted)
        )
    return len([run for run in found or () if run.deployment_id]) > CROWD
