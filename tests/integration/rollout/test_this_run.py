"""The run that does the work, at a real Prefect server that throttles, fails, is slow, or does not answer itself."""

import asyncio
import uuid
from collections.abc import Callable

import pytest
from prefect import flow, get_client
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling, Crashed, Failed, Running

from flows.cancellation import roll_back_terminated
from saferollout.config import project
from saferollout.domain.errors import Stopped
from saferollout.rollout import begin
from saferollout.rollout.owner import Owner
from tasks.support import this_run
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
        await ThisRun(grace_s=60).ready()
        await step()
        trouble(edge)
        for work in (run.ready(), run.unless_stopped(endless())):
            with pytest.raises(Stopped, match="Prefect's server could not be reached for"):
                await work

    assert begun == ["step", "judging"]


@pytest.mark.parametrize(
    ("state", "reason", "cancelled"),
    [(Cancelling(), "was cancelled", True), (Failed(), "was set to Failed", False)],
    ids=["cancelled", "set to Failed"],
)
async def test_work_is_given_up_when_somebody_ends_the_run(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, state: State[None], reason: str, cancelled: bool
) -> None:
    """Cancelled or set to Failed in Prefect: what is under way ends with why, and no step begins."""
    run = ThisRun(grace_s=60)
    with temporary_settings({PREFECT_API_URL: stack.env["PREFECT_API_URL"]}):
        async with get_client() as client:
            flow_run = await client.create_flow_run(going, state=Running())
            monkeypatch.setenv("PREFECT__FLOW_RUN_ID", str(flow_run.id))
            working = asyncio.create_task(run.unless_stopped(asyncio.Event().wait()))
            done, _ = await asyncio.wait([working], timeout=0.5)
            assert not done
            await client.set_flow_run_state(flow_run.id, state, force=True)
        for work in (working, run.ready()):
            with pytest.raises(Stopped, match=f"^the run {reason} in Prefect$") as stopped:
                await work
            assert stopped.value.cancelled is cancelled


async def test_a_deployed_run_that_its_worker_does_not_end_ends_by_itself(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled, it is for its worker to end; one that has died never does, and nothing goes forward in the end."""
    run = ThisRun(grace_s=60)
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", str(uuid.uuid4()))
    with temporary_settings({PREFECT_API_URL: stack.env["PREFECT_API_URL"]}):
        async with get_client() as client:
            flow_run = await client.create_flow_run(going, state=Running())
            monkeypatch.setenv("PREFECT__FLOW_RUN_ID", str(flow_run.id))
            await client.set_flow_run_state(flow_run.id, Cancelling(), force=True)
        await run.ready()
        monkeypatch.setattr(this_run, "WORKER_S", 1.0)
        with pytest.raises(Stopped, match="the run was cancelled") as stopped:
            await run.unless_stopped(asyncio.Event().wait())
        assert stopped.value.cancelled


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
        said = "Execution was aborted by {}."
        await roll_back_terminated(going, deployed, Crashed(message=said.format("Python system exit call")))
        assert phase_of(endpoint) is not None  # nobody asked it to end: the guard has it begin again
        await roll_back_terminated(going, deployed, Crashed(message=said.format("a termination signal")))

    assert phase_of(endpoint) is None
