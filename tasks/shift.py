"""Shift: give the candidate its stage's share of the traffic."""

import asyncio

from prefect import task
from prefect.logging import get_run_logger

from saferollout.config.rollout import StageConfig
from saferollout.config.sources import SourceKind
from saferollout.domain.endpoint import Decision
from saferollout.domain.fault_points import Step
from saferollout.gates.arrival import Sight, look_who_serves
from saferollout.rollout import shift
from saferollout.rollout.rollout import Rollout
from tasks.support.access import in_workspace, scorer_of
from tasks.support.boundaries import bounded
from tasks.support.names import named
from tasks.support.policy import STEP


@task(task_run_name=named("shift {rollout.candidate} to {stage.traffic}%"), **STEP)
@bounded(Step.SHIFT)
async def shift_traffic(rollout: Rollout, stage: StageConfig, decision: Decision | None) -> None:
    """Set traffic, share and decision in one change, and wait until users are served so.

    A share that is past keeps its traffic.

    Raises:
        AzureFailed: The endpoint has not answered for minutes, or does not take its key.
        GateFailed: Users are still served otherwise, minutes later.
    """
    await in_workspace(rollout, lambda azure: shift.shift_traffic(azure, rollout, stage.traffic, decision))
    if stage.traffic < rollout.share:
        return
    before = max(
        (earlier.traffic for earlier in rollout.project.config.stages if earlier.traffic < stage.traffic), default=0
    )
    requests = await asyncio.to_thread(rollout.project.requests)
    async with await scorer_of(rollout, rollout.endpoint) as scorer:
        served = await look_who_serves(
            scorer, requests, old=rollout.traffic(before), new=rollout.traffic(stage.traffic)
        )
    served.require_seen()
    counting = [source.kind for source in stage.judge.sources if source.kind is not SourceKind.PROBES]
    also = (
        f"; the judge says what {' and '.join(counting)} counted"
        if counting and served.sight is Sight.NOT_NAMED
        else ""
    )
    get_run_logger().info(served.words + also)
