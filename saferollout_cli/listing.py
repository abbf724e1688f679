"""What waits for an approval at a Prefect server."""

import os
import re
from datetime import datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType
from pydantic import ConfigDict, Field

from saferollout.approvals.signed_answer import PAGE_URL
from saferollout.domain.endpoint import Value
from saferollout.domain.errors import Refused
from saferollout.rollout.record import PREFIX
from saferollout_cli.approvals import waiting_question
from saferollout_cli.running import link_to
from tasks.approval import GRACE_S

LISTED = 200
"""How many runs Prefect's server lists at once."""
KEY = re.compile(r"(?:paused|suspended)-[0-9a-f]{12}-(\d{1,3})-[0-9a-f]{12}(?:-\d+)?-response")
"""What an answer is kept under; the number in it is the share that is asked for."""


class Waiting(Value):
    """A run that waits for an approval."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    flow_run: UUID
    name: str
    endpoint: str
    """Empty where the run does not say it."""
    share: int | None = Field(alias="stage")
    """The share that is asked for, in percent."""
    question: str
    evidence: str
    """What was found, in a line."""
    digest: str
    since: datetime
    until: datetime | None
    """Until when it takes an answer; None without an end."""
    link: str
    """Where to answer: at the approvals page if its address is known, else in Prefect's UI."""


async def list_waiting(client: PrefectClient) -> list[Waiting]:
    """What waits for an approval, the oldest first; a run whose question is not written yet is left out."""
    paused = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED])))
    runs: list[FlowRun] = []
    while len(listed := await client.read_flow_runs(flow_run_filter=paused, limit=LISTED, offset=len(runs))) == LISTED:
        runs += listed
    found = [await describe(client, run) for run in runs + listed]
    return sorted((one for one in found if one), key=lambda one: one.since)


async def describe(client: PrefectClient, run: FlowRun) -> Waiting | None:
    """What a run waits for; None if it waits for no approval."""
    try:
        question = await waiting_question(client, run)
    except Refused:  # it asks for something else
        return None
    if question is None or run.state is None:
        return None
    share = KEY.fullmatch(question.response)
    page = os.environ.get(PAGE_URL, "").rstrip("/")
    return Waiting(
        flow_run=run.id,
        name=run.name,
        endpoint=str(run.labels.get(f"{PREFIX}endpoint", "")),
        share=int(share[1]) if share else None,
        question=question.title,
        evidence=question.finding,
        digest=question.evidence,
        since=run.state.timestamp,
        until=_until(run),
        link=f"{page}/approvals/{run.id}" if page else await link_to(run.id),
    )


def _until(run: FlowRun) -> datetime | None:
    if run.state is None or (timeout := run.state.state_details.pause_timeout) is None:
        return None
    end: datetime = timeout
    if run.state.state_details.pause_reschedule:
        return end
    return end - timedelta(seconds=GRACE_S)  # a run that waits in its process ends that much earlier than the pause
