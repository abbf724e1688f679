"""The run that does the work, at a real Prefect server that throttles, fails, is slow, or does not answer itself."""

import asyncio
from collections.abc import Callable

import pytest
from prefect import flow, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Running

from saferollout.errors import Stopped
from tasks.this_run import ThisRun
from tests.stack import Stack
from tests.support.edge import Edge


@flow
async def going() -> None:
    """What the runs here are runs of."""


@pytest.mark.parametrize("trouble", [Edge.throttle, Edge.fail, Edge.delay, Edge.stray])
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
        await run.step(step())
        trouble(edge)
        for work in (run.step(step()), run.unless_stopped(endless())):
            with pytest.raises(Stopped, match="Prefect's server could not be reached for"):
                await work

    assert begun == ["step", "judging"]
