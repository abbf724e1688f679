"""Remind: tell people that a question is about to expire."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from saferollout.config.notify import NotifyConfig
from saferollout.config.project import Project
from saferollout.config.rollout import StageConfig
from saferollout.domain.evidence import Evidence
from saferollout.report.message import reminder
from saferollout.rollout.record import OpenQuestion, Record, now
from saferollout.rollout.rollout import Rollout
from tasks.support.access import in_workspace
from tasks.support.messages import send_message


async def remind_in_time(rollout: Rollout, stage: StageConfig, evidence: Sequence[Evidence]) -> None:
    """Wait until the question of a stage, which is asked now, is about to expire, and remind people of it.

    Raises:
        Lost: The rollout is somebody else's by then.
    """
    if notify := rollout.project.config.notify:
        await asyncio.sleep(max(0, stage.approval_timeout_s - notify.reminder_s))
        state = await in_workspace(rollout, lambda azure: azure.get_endpoint(rollout.endpoint))
        await remind(rollout.project, rollout.own_record(state.tags), evidence)


async def remind(project: Project, record: Record, evidence: Sequence[Evidence]) -> None:
    """Remind people of the question that a rollout's record has, if it is about to expire."""
    notify, asks = project.config.notify, record.asks
    if notify and asks and asks.until and expires_soon(notify, asks, now()):
        message = reminder(project.endpoint, asks.share, asks.since, asks.until, evidence)
        await send_message(notify, UUID(record.owner.flow_run), message)


def expires_soon(notify: NotifyConfig, asks: OpenQuestion, moment: datetime) -> bool:
    """Whether it is time for the reminder of a question: never where it is open for no longer than that anyway."""
    if asks.until is None:
        return False
    at = asks.until - timedelta(seconds=notify.reminder_s)
    return asks.since < at <= moment + timedelta(seconds=1) and moment < asks.until
