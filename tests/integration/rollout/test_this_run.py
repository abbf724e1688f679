"""The run that does the work, at a real Prefect server that throttles, fails, is slow, or does not answer itself."""

import asyncio
import uuid
from collections.abc import Callable

import pytest
from prefect import flow, get_client
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Crashed, Running

from flows.cancellation import roll_back_terminated
from saferollout.config import project
from saferollout.domain.errors import Stopped
from saferollout.rollout import begin
from saferollout.rollout.owner import Owner
from tasks.support.this_run import ThisRun, mark, may_have_begun
from tests.support.edge import Edge
from tests.support.stack import Endpoint, Stack, phase_of


@flow
async def going() -> None:
    """What the runs here are runs of."""


@pytest.mark.parametrize("trouble", [Edge.throttle, Edge.fail, Edge.delay, Edge.stray, Edge.misplace])
async def test_nothing_goes_forward_without_prefect(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, trouble: Callable[[Edge], None]
) -> None:
    """No step begins, and what is under way is given up, when the grace is over in which no server could be reached."""
    begun: list[str] = []

    async def step() -> None:
        begun.append("step")

    async def endless() -> None:
        begun.append("judging")
        await asyncio.Event().wait()

    run = ThisRun(grace_s=2)
    with Edge(stack.env["PREFECT_API_URL"]) as edge, temporary_settings({PREFECT_API_URL: edge.url}):
        async with get_client() as client:
            flow_run = await client.create_flow_run(going, state=Running())
        monkeypatch.setenv("PREFECT__FLOW_RUN_ID", str(flow_run.id))
        await run.ready()
        await step()
        trouble(edge)
        for work in (run.ready(), run.unless_stopped(endless())):
            with pytest.raises(Stopped, match="Prefect's server could not be reached for"):
                await work

    assert begun == ["step", "judging"]


@pytest.mark.parametrize("trouble", [Edge.fail, Edge.stray])
async def test_what_a_run_began_is_known_and_undone_without_prefect(
    stack: Stack, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, trouble: Callable[[Edge], None]
) -> None:
    """A machine shuts down, Prefect's server first: a deployed run whose process is asked to end still goes back.

    Nor is a server asked whether anything was begun.
    """
    found = project.load(endpoint.config())
    with Edge(stack.env["PREFECT_API_URL"]) as edge, temporary_settings({PREFECT_API_URL: edge.url}):
        async with get_client() as client:
            flow_run = await client.create_flow_run(going, state=Running())
        monkeypatch.setenv("PREFECT__FLOW_RUN_ID", str(flow_run.id))
        with FlowRunContext.model_construct(flow_run=flow_run):  # type: ignore[call-arg]  # enough of it
            assert not may_have_begun()
            await mark(found)
            owner = Owner.here(str(flow_run.id), in_process=False)
            await asyncio.to_thread(begin.begin, endpoint.workspace(), found, owner, gone=None, begun_before=False)
            trouble(edge)
            assert may_have_begun()
        deployed = flow_run.model_copy(update={"deployment_id": uuid.uuid4()})
        await roll_back_terminated(going, deployed, Crashed(message="Execution was aborted by a termination signal."))

    assert phase_of(endpoint) is None
