"""Flow runs at a real Prefect server, whose steps find Azure's twin."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.states import Running

from saferollout.azure.memory import Memory
from saferollout.azure.workspace import Workspace
from saferollout.config.rollout import WorkspaceConfig
from saferollout.rollout.begin import begin
from saferollout.rollout.create import create_candidate
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import Record
from saferollout.rollout.rollout import Rollout
from saferollout.rollout.shift import shift_traffic
from saferollout_cli.approvals import Reply, WaitingQuestion, waiting_question
from tests.support.twin import look, make_project

WORKSPACE = WorkspaceConfig(subscription_id="s", resource_group="g", name="w")
YES, NO = (Reply.model_validate({"decision": said, "approver": "Ann"}) for said in ("approve", "reject"))


@flow
async def going() -> None:
    """What the runs here are runs of."""


def at_ten(memory: Memory, flow_run: UUID, **settings: Any) -> Rollout:
    """A rollout of this flow run, whose candidate has 10%."""
    azure, owner = Workspace(memory), Owner(name="ann@laptop", flow_run=str(flow_run))
    rollout = begin(azure, make_project(**settings), owner, gone=None, begun_before=False)
    assert rollout is not None
    create_candidate(azure, rollout)
    shift_traffic(azure, rollout, 10, None)
    return rollout.model_copy(update={"share": 10})


def record_of(memory: Memory) -> Record | None:
    """The endpoint's record."""
    return Record.from_tags(look(memory).resource["tags"])


async def until_asked(client: PrefectClient, run: UUID, *but: WaitingQuestion) -> WaitingQuestion:
    """The run's question, another one than these."""
    async with asyncio.timeout(120):
        while True:
            found = await waiting_question(client, await client.read_flow_run(run))
            if found and found not in but:
                return found
            await asyncio.sleep(0.2)


async def running(client: PrefectClient, monkeypatch: pytest.MonkeyPatch, *, deployed: bool = False) -> FlowRun:
    """A run that is this process's."""
    if deployed:
        deployment = await client.create_deployment(await client.create_flow(going), name=uuid4().hex)
        run = await client.create_flow_run_from_deployment(deployment)
        await client.set_flow_run_state(run.id, Running(), force=True)
    else:
        run = await client.create_flow_run(going, state=Running())
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", str(run.id))
    return await client.read_flow_run(run.id)
