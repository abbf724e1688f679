"""Runs that ask something at a Prefect server, and somebody who answers."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from prefect import flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.input import keyset_from_paused_state
from prefect.settings import (
    PREFECT_CLIENT_MAX_RETRIES,
    temporary_settings,
)
from prefect.states import Paused, Running

from saferollout_cli.approvals import Reply, attend
from saferollout_cli.approvals import WaitingQuestion as Asked
from tasks.support.forms import make_form
from tests.support.prefect import Server
from tests.support.stack import client, wait_for

DIGEST = "0123456789ab"
YES = Reply(decision="approve", approver="Ann", comment="fine")


@flow
async def waiting() -> None:
    """What the runs here are runs of."""


async def paused(client: PrefectClient, *, written: bool = True) -> FlowRun:
    """A run that waits for an answer, in the states and with the inputs that Prefect gives it."""
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 5}):  # SQLite answers 503 to some writers
        run = await client.create_flow_run(waiting)
        await client.set_flow_run_state(run.id, Running())
        state: State[None] = Paused(timeout_seconds=600, pause_key=f"{DIGEST}-10")
        state.state_details.run_input_keyset = dict(keyset_from_paused_state(state).items())
        await client.set_flow_run_state(run.id, state)
        if written:
            await write(client, run)
        return await client.read_flow_run(run.id)


async def write(client: PrefectClient, run: FlowRun) -> None:
    """Write the run's question, as it does a moment after it paused."""
    keys = keyset_from_paused_state(Paused(pause_key=f"{DIGEST}-10"))
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 5}):
        await client.create_flow_run_input(run.id, keys["schema"], json.dumps(make_form(DIGEST).model_json_schema()))
        await client.create_flow_run_input(run.id, keys["description"], json.dumps("# Give green 10%?"))


class Asker:
    """Answers what it is asked, and counts."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    async def __call__(self, question: Asked) -> Reply:
        """Say yes."""
        self.asked.append(question)
        return YES


@contextlib.asynccontextmanager
async def attended(run: FlowRun, reports: list[str]) -> AsyncIterator[tuple[asyncio.Task[FlowRun], Asker]]:
    """Somebody who attends the run while the block lasts."""
    asker = Asker()
    task = asyncio.create_task(attend(run.id, asker, reports.append))
    try:
        yield task, asker
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until_running(server: Server, run: FlowRun) -> None:
    """Wait until the answer was taken, and end the run."""

    def look() -> bool | None:
        shown = client().get(f"{server.url}/flow_runs/{run.id}").json()
        return shown["state_type"] == "RUNNING" or None

    await asyncio.to_thread(wait_for, "the answer", look)
    server.set_state(run.id, "COMPLETED")
