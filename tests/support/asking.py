"""A run that asks for an approval, deployed or in this process, of a rollout on Azure's twin in memory."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from prefect import flow, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow_async
from prefect.states import AwaitingRetry

from saferollout.approvals.requester import Requester
from saferollout.azure.workspace import Workspace
from saferollout.domain.endpoint import Decision
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout.rollout.begin import begin
from saferollout.rollout.create import create_candidate
from saferollout.rollout.owner import Owner
from saferollout.rollout.rollout import Rollout
from saferollout_cli.approvals import Reply, WaitingQuestion, answer, waiting_question
from tasks.approval import ask
from tasks.support import access
from tasks.support.polling import poll
from tests.support.twin import make_endpoint, make_project

TITLE = "Give green 10%?"


class Case:
    """A rollout that has come to its first question."""

    def __init__(self, requester: str = "Eve", **settings: Any) -> None:
        self.memory = make_endpoint()
        self.azure = Workspace(self.memory)
        self.evidence = [Evidence(gate="smoke test", verdict=GateVerdict.PASSED, summary="all answered")]
        self.decisions: list[Decision] = []
        owner = Owner(name="ann@laptop", flow_run=str(uuid4()))
        wanted_by = Requester(name=requester, source="the event")
        rollout = begin(self.azure, make_project(**settings), owner, gone=None, begun_before=False, requester=wanted_by)
        assert rollout is not None
        create_candidate(self.azure, rollout)
        self.rollout: Rollout = rollout

    async def ask(self) -> Decision:
        """Ask for the first stage."""
        stage = self.rollout.project.config.stages[0]
        decision = await ask(self.rollout, stage, self.evidence, question=TITLE)
        self.decisions.append(decision)
        return decision


_case: Case
C = TypeVar("C", bound=Case)


@contextlib.contextmanager
def current(case: C) -> Iterator[C]:
    """Let runs ask for this rollout, in its workspace."""
    global _case  # a flow's parameters go through JSON
    _case = case
    config = case.rollout.project.config.workspace
    access._idle[config] = [Workspace(case.memory) for _ in range(9)]  # noqa: SLF001  # where connections wait
    try:
        yield case
    finally:
        del access._idle[config]  # noqa: SLF001  # likewise


@flow
async def asks() -> None:
    """Ask for the current case."""
    await _case.ask()


async def deployed() -> FlowRun:
    """A run of a deployment, which no worker takes up."""
    async with get_client() as client:
        deployment = await client.create_deployment(await client.create_flow(asks), name=uuid4().hex)
        return await client.create_flow_run_from_deployment(deployment)


async def go_on(run: FlowRun) -> State[Any]:
    """Do what a worker does with the run, in this process, until it ends or is suspended; return its state."""
    async with get_client() as client:
        with contextlib.suppress(Pause):
            await run_flow_async(asks, flow_run=await client.read_flow_run(run.id), return_type="state")
        state = (await client.read_flow_run(run.id)).state
    assert state is not None
    return state


async def here(answers: Callable[[FlowRun], Any]) -> State[Any]:
    """Run it in this process, and let `answers` see the run meanwhile."""
    async with get_client() as client:
        run = await client.create_flow_run(asks)
        answering = asyncio.ensure_future(answers(run))
        await run_flow_async(asks, flow_run=run, return_type="state")
        await answering
        state = (await client.read_flow_run(run.id)).state
    assert state is not None
    return state


async def question_of(run: FlowRun) -> WaitingQuestion:
    """What a run asks."""
    async with get_client() as client:
        found = await waiting_question(client, await client.read_flow_run(run.id))
    assert found is not None
    return found


async def reply(run: FlowRun, name: str, given: str = "", decision: str = "approve") -> None:
    """Answer what a run asks."""
    await answer(run.id, Reply.model_validate({"decision": decision, "approver": name, "code": given, "comment": "ok"}))


async def again(run: FlowRun) -> None:
    """Retry the run, as `prefect flow-run retry` does."""
    async with get_client() as client:
        await client.set_flow_run_state(run.id, AwaitingRetry(), force=True)


def dump(database: Path) -> str:
    """All rows of all tables, a row a line."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return "\n".join(str(row) for name in names for row in connection.execute(f'SELECT * FROM "{name}"'))  # noqa: S608  # its own names


async def until(run: FlowRun, text: str) -> None:
    """Wait until the run asks, and shows this."""

    async def look() -> WaitingQuestion | None:
        found = await waiting_question(client, await client.read_flow_run(run.id))
        return found if found and text in found.text else None

    async with get_client() as client:
        found = await poll(look, 0.2, 120)
    assert found is not None, text
    assert "self-declared: nobody has checked the name" in found.text
