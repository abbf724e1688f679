"""A rollout that was asked for and whose process was lost before a record said so: at a real Prefect server."""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect import flow, get_client, task
from prefect.client.schemas.objects import FlowRun, State
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import AwaitingRetry, Completed, Crashed, Failed, Pending, Running

from saferollout.rollout import record
from tasks.lost_requests import recover_unbegun
from tasks.support.runs import HEARTBEAT
from tests.support.prefect import Server
from tests.support.stack import client, wait_for

pytestmark = pytest.mark.xdist_group("server")
LATER_S = 600.0


@flow
async def rollout() -> None:
    """What the runs here are runs of; no worker takes them."""


@task
async def baseline() -> None:
    """The step after which a rollout has begun."""


@pytest.fixture(autouse=True)
def prefect(server: Server) -> Iterator[None]:
    """The server, and a guard that knows how often a run in its pool shows that it lives."""
    with temporary_settings({PREFECT_API_URL: server.url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: 30}):
        yield


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten minutes have passed since."""
    for module in ("tasks.lost_requests", "tasks.support.runs"):
        monkeypatch.setattr(f"{module}.now", lambda: record.now() + timedelta(seconds=LATER_S))


async def run_in(*states: State[Any]) -> UUID:
    """A deployed run that has been in these states."""
    async with get_client() as prefect:
        deployment = await prefect.create_deployment(await prefect.create_flow(rollout), f"d-{uuid.uuid4().hex[:6]}")
        run = await prefect.create_flow_run_from_deployment(deployment, state=states[0])
        for state in states[1:]:
            await prefect.set_flow_run_state(run.id, state, force=True)
    return run.id


def beat(server: Server, run: UUID) -> None:
    """The run shows that it lives."""
    resource = {"prefect.resource.id": f"prefect.flow-run.{run}"}
    event = {"id": str(uuid.uuid4()), "occurred": record.now().isoformat(), "event": HEARTBEAT, "resource": resource}
    client().post(f"{server.url}/events", json=[event]).raise_for_status()
    body = {"filter": {"event": {"name": [HEARTBEAT]}, "resource": {"id": [f"prefect.flow-run.{run}"]}}}
    wait_for("it", lambda: client().post(f"{server.url}/events/filter", json=body).json()["events"] or None)


async def shown(run: UUID) -> FlowRun:
    """The run now."""
    async with get_client() as prefect:
        return await prefect.read_flow_run(run)


async def state_of(run: UUID) -> tuple[str, str]:
    """The name of its state, and the message."""
    state = (await shown(run)).state
    assert state is not None
    return state.name or "", state.message or ""


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("state", [Pending(), Pending(name="Submitting"), Running(), Crashed()], ids=lambda it: it.name)
async def test_a_request_whose_run_was_lost_is_not(server: Server, state: State[Any]) -> None:
    """Whatever Prefect shows of it, it begins again where nothing was begun; a run that has said so is left."""
    run = await run_in(state)
    if state.is_running():
        beat(server, run)

    done = await recover_unbegun.fn(run)

    (line,) = done.values()
    assert line.endswith("and nothing was begun: it begins again (1 of 2)")
    assert (await state_of(run))[0] == "AwaitingRetry"
    assert await recover_unbegun.fn(run) == {}


async def test_what_may_live_is_left_alone(server: Server) -> None:
    """A worker may be about to start it, or it has just shown that it lives, or it never did; so is what has ended."""
    at_work = await run_in(Running())
    beat(server, at_work)
    states: list[State[Any]] = [Pending(), Running(), Failed(), AwaitingRetry()]
    others = [await run_in(state) for state in states]

    assert [await recover_unbegun.fn(run) for run in (at_work, *others)] == [{}] * 5

    names = [(await state_of(run))[0] for run in (at_work, *others)]
    assert names == ["Running", "Pending", "Running", "Failed", "AwaitingRetry"]


@pytest.mark.usefixtures("later")
async def test_one_that_is_lost_again_and_again_is_given_up() -> None:
    """It ends as crashed, and says what to do, so that it does not hang for ever."""
    run = await run_in(Pending(), AwaitingRetry(), Pending(), AwaitingRetry(), Pending())

    await recover_unbegun.fn(run)

    name, said = await state_of(run)
    assert (name, said) == (
        "Crashed",
        "nothing was begun, although it began again 2 times: see its logs, then ask once more",
    )
    await recover_unbegun.fn(run)
    assert (await state_of(run))[0] == "Crashed"


@pytest.mark.usefixtures("later")
async def test_a_rollout_that_was_over_does_not_begin_again(server: Server) -> None:
    """It had begun, and its record is gone: rolled back or promoted, and killed before it could say so."""
    run = await run_in(Running())
    beat(server, run)
    async with get_client() as prefect:
        await prefect.create_task_run(baseline, run, "0", name="baseline", state=Completed())

    await recover_unbegun.fn(run)

    name, said = await state_of(run)
    assert name == "Crashed"
    assert said.startswith("its rollout is over")


@pytest.mark.usefixtures("later")
async def test_without_a_name_all_runs_at_work_are_looked_at() -> None:
    """One that ended is not among them, nor one that lives and dies with its command."""
    lost, ended = await run_in(Pending()), await run_in(Failed())
    async with get_client() as prefect:
        local = (await prefect.create_flow_run(rollout, state=Pending())).id

    done = await recover_unbegun.fn()

    assert f"run {(await shown(lost)).name}" in done
    assert [(await state_of(run))[0] for run in (lost, ended, local)] == ["AwaitingRetry", "Failed", "Pending"]
