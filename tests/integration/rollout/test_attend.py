"""Whoever answers approvals, at a real Prefect server that is late, busy, locked, away, or loses its replies."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from typing import Literal
from uuid import UUID, uuid4

import httpx
import pytest
import uvicorn
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.exceptions import Pause
from prefect.input import keyset_from_paused_state
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)
from prefect.states import Completed, Paused, Running, Suspended
from starlette.applications import Starlette
from starlette.routing import Route

from saferollout.domain.errors import Refused
from saferollout_cli.approvals import Reply, WaitingQuestion, answer, stored, waiting_question
from saferollout_cli.demo import processes
from tasks.support.answers import pause, suspend
from tasks.support.forms import make_form
from tasks.support.orchestrator import passing
from tasks.support.runs import look_up
from tests.support.edge import Edge
from tests.support.golden import record
from tests.support.prefect import Proxy, Server
from tests.support.questions import DIGEST, YES, attended, paused, until_running, waiting, write
from tests.support.stack import wait_for

pytestmark = pytest.mark.xdist_group("server")


@pytest.fixture
async def client(server: Server) -> AsyncIterator[PrefectClient]:
    """A client that says at once what fails."""
    with temporary_settings({PREFECT_API_URL: server.url, PREFECT_CLIENT_MAX_RETRIES: 0}):
        async with get_client() as made:
            yield made


async def test_a_question_is_read_when_it_is_written(client: PrefectClient) -> None:
    """A run pauses first and writes its form and its question a moment later: until then it asks nothing.

    The guard sees that, too: the run's process may have been killed in between.
    """
    run = await paused(client, written=False)
    known = record()
    known = known.model_copy(update={"owner": known.owner.model_copy(update={"flow_run": str(run.id)})})
    waits = await look_up(client, known)
    assert waits
    assert waits.unasked
    assert await waiting_question(client, run) is None
    with pytest.raises(httpx.HTTPStatusError, match="404"):  # what Prefect's client raises of an input not yet there
        await client.read_flow_run_input(run.id, "paused-x-description")

    keys = keyset_from_paused_state(Paused(pause_key=f"{DIGEST}-10"))
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 5}):
        await client.create_flow_run_input(run.id, keys["schema"], "{}")
        assert await waiting_question(client, run) is None
        await client.delete_flow_run_input(run.id, keys["schema"])
    await write(client, run)
    waits = await look_up(client, known)
    assert waits
    assert not waits.unasked

    question = await waiting_question(client, run)
    assert question is not None
    assert (question.title, question.evidence) == ("Give green 10%?", DIGEST)


async def test_an_answer_waits_for_the_question(client: PrefectClient) -> None:
    """Who approves in the very moment between the pause and its question is not sent away."""
    run = await paused(client, written=False)
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 5}):
        answering = asyncio.create_task(answer(run.id, YES))
    done, _ = await asyncio.wait([answering], timeout=0.5)
    assert not done
    await write(client, run)

    assert (await answering).title == "Give green 10%?"
    assert (await client.read_flow_run(run.id)).state_name == "Running"


async def test_only_one_of_two_answers_is_taken(client: PrefectClient) -> None:
    """Whose answer came second hears it, though Prefect's own client takes the server's ABORT for a success."""
    run = await paused(client)
    others = Reply(decision="reject", approver="Bob")

    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 5}):  # SQLite answers 503 to one of two writers
        taken = await asyncio.gather(answer(run.id, YES), answer(run.id, others), return_exceptions=True)

    refusals = [result for result in taken if isinstance(result, Refused)]
    assert len(refusals) == 1, taken
    keys = keyset_from_paused_state(Paused(pause_key=f"{DIGEST}-10"))
    kept = await stored(client, run.id, keys["response"])
    assert kept["approver"] == ("Bob" if taken[0] in refusals else "Ann")


async def test_a_run_that_nobody_knows_is_refused(client: PrefectClient) -> None:
    """A mistyped id, and a run that asks nothing, get different messages."""
    with pytest.raises(Refused, match="there is no flow run"):
        await answer(UUID(int=1), YES)
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 5}):
        run = await client.create_flow_run(waiting, state=Completed())
    with pytest.raises(Refused, match="is Completed and does not wait for an approval"):
        await answer(run.id, YES)


async def test_attending_outlives_a_server_that_restarts(server: Server, client: PrefectClient) -> None:
    """Refused connections are reported once; when the server is back the question is answered and asked once."""
    run = await paused(client, written=False)
    reports: list[str] = []
    async with attended(run, reports) as (task, asker):
        server.stop()
        await asyncio.to_thread(wait_for, "a report", lambda: reports or None)
        assert not task.done()
        await asyncio.to_thread(server.start)
        await write(client, run)
        await until_running(server, run)
        ended = await asyncio.wait_for(task, 60)

    assert ended.state_name == "Completed"
    assert len(asker.asked) == 1
    assert reports[0].startswith("Prefect's server fails (")
    assert reports[1:] == ["Prefect's server answers again"]


async def test_attending_outlives_a_locked_database(server: Server, client: PrefectClient) -> None:
    """SQLite answers writers with 503 while somebody else writes: the same answer is given again until it is taken."""
    run = await paused(client)
    reports: list[str] = []
    with contextlib.closing(sqlite3.connect(server.database, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        async with attended(run, reports) as (task, asker):
            await asyncio.to_thread(wait_for, "a report", lambda: reports or None)
            database.execute("ROLLBACK")
            await until_running(server, run)
            await asyncio.wait_for(task, 60)

    assert "503" in reports[0]
    assert len(asker.asked) == 1


@pytest.fixture
async def proxy(server: Server, client: PrefectClient) -> AsyncIterator[Proxy]:  # noqa: ARG001  # its settings first
    """A proxy through which the clients made from now on go."""
    made, port = Proxy(server), processes.free_port()
    methods = ["GET", "POST", "PATCH", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", made.hand_on, methods=methods)])
    listener = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off", ws="none"))
    serving = asyncio.create_task(listener.serve())
    while not listener.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
        yield made
    listener.should_exit = True
    await serving


async def test_attending_outlives_throttling_and_a_lost_reply(
    server: Server, client: PrefectClient, proxy: Proxy
) -> None:
    """A throttled request is asked again; an answer that was taken, though nobody heard so, is not refused."""
    run = await paused(client)
    proxy.throttled, proxy.lost = 3, 1
    reports: list[str] = []
    async with attended(run, reports) as (task, asker):
        await until_running(server, run)
        await asyncio.wait_for(task, 60)

    assert (proxy.throttled, proxy.lost) == (0, 0)
    assert "429" in reports[0]
    assert len(asker.asked) == 1


async def test_an_answer_whose_reply_was_lost_is_reported_as_taken(
    server: Server, client: PrefectClient, proxy: Proxy
) -> None:
    """Prefect's client sends it again by itself, and the server refuses the second one: it is the same answer."""
    run = await paused(client)
    proxy.lost = 1

    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 5}):
        assert (await answer(run.id, YES)).evidence == DIGEST

    assert proxy.lost == 0
    server.set_state(run.id, "COMPLETED")


async def test_attending_outlives_what_is_not_prefect(server: Server, client: PrefectClient) -> None:
    """A page that a proxy shows while the server behind it restarts does not end the watch over a question."""
    run = await paused(client)
    reports: list[str] = []
    with Edge(server.url) as edge, temporary_settings({PREFECT_API_URL: edge.url}):
        edge.stray()
        async with attended(run, reports) as (task, asker):
            await asyncio.to_thread(wait_for, "a report", lambda: reports or None)
            edge.mend()
            await until_running(server, run)
            await asyncio.wait_for(task, 60)

    assert reports[1:] == ["Prefect's server answers again"]
    assert len(asker.asked) == 1


@pytest.mark.parametrize(
    ("trouble", "lost"),
    [(Edge.fail, ()), (Edge.stray, ("description",)), (Edge.fail, ("description", "schema"))],
    ids=["kept", "half lost", "lost"],
)
async def test_a_question_stays_open_while_prefect_fails(
    server: Server,
    client: PrefectClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    trouble: Callable[[Edge], None],
    lost: tuple[Literal["description", "schema"], ...],
) -> None:
    """One answer of 500 in a day's wait ends no rollout; a question that could not be written is written later."""
    keys = keyset_from_paused_state(Paused(pause_key=f"{DIGEST}-10"))
    form = make_form(DIGEST).with_initial_data(description="# Give green 10%?")
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 5}):
        run = await client.create_flow_run(waiting)
        await client.set_flow_run_state(run.id, Running())
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", str(run.id))

    def asked() -> bool | None:
        kept = httpx.get(f"{server.url}/flow_runs/{run.id}/input/{keys['description']}", timeout=30)
        return kept.status_code == 200 or None

    with (
        Edge(server.url) as edge,
        temporary_settings({PREFECT_API_URL: edge.url, PREFECT_LOGGING_TO_API_ENABLED: False}),
        FlowRunContext.model_construct(flow_run=run, flow=waiting, client=client),  # type: ignore[call-arg]  # enough of it
    ):
        pausing = asyncio.create_task(pause(form, 600, f"{DIGEST}-10"))
        await asyncio.to_thread(wait_for, "the question", asked, 60)
        trouble(edge)
        await asyncio.to_thread(wait_for, "trouble", lambda: "the question stays open" in caplog.text or None)
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 5}):
            for part in lost:
                await client.delete_flow_run_input(run.id, keys[part])
            edge.mend()
            await asyncio.to_thread(wait_for, "the question", asked, 60)
            await answer(run.id, YES)

        assert (await pausing).approver == "Ann"
    server.set_state(run.id, "COMPLETED")


@pytest.mark.parametrize("is_half_written", [False, True], ids=["nothing written", "half written"])
async def test_a_suspension_outlives_a_failing_server(
    server: Server,
    client: PrefectClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    is_half_written: bool,
) -> None:
    """One answer of 500 ends no deployed rollout: it is suspended, with its whole question, when that is taken."""
    keys = keyset_from_paused_state(Suspended(pause_key=f"{DIGEST}-10"))
    form = make_form(DIGEST).with_initial_data(description="# Give green 10%?")
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 5}):
        deployment = await client.create_deployment(await client.create_flow(waiting), name=uuid4().hex)
        run = await client.create_flow_run_from_deployment(deployment)
        await client.set_flow_run_state(run.id, Running(), force=True)
        if is_half_written:  # by an attempt that failed in between
            suspended: State[None] = Suspended(timeout_seconds=600, pause_key=f"{DIGEST}-10")
            suspended.state_details.run_input_keyset = dict(keys.items())
            await client.set_flow_run_state(run.id, suspended)
            await client.create_flow_run_input(run.id, keys["schema"], "{}")
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", str(run.id))

    with (
        Edge(server.url) as edge,
        temporary_settings({PREFECT_API_URL: edge.url, PREFECT_LOGGING_TO_API_ENABLED: False}),
        FlowRunContext.model_construct(flow_run=run, flow=waiting, client=client),  # type: ignore[call-arg]  # enough of it
    ):
        edge.fail()
        suspending = asyncio.create_task(suspend(form, 600, f"{DIGEST}-10", 120))
        await asyncio.to_thread(wait_for, "trouble", lambda: "the question is asked again" in caplog.text or None, 60)
        edge.mend()
        with pytest.raises(Pause):
            await asyncio.wait_for(suspending, 60)

    shown = await client.read_flow_run(run.id)
    assert shown.state_name == "Suspended"
    question = await waiting_question(client, shown)
    assert question is not None
    assert (question.title, question.evidence) == ("Give green 10%?", DIGEST)


async def test_an_endpoint_is_answered_by_its_name(client: PrefectClient) -> None:
    """The run that waits is found by its labels; the evidence is read before the answer is given."""
    runs = [await paused(client) for _ in range(3)]
    read: list[str] = []

    def keep(question: WaitingQuestion, given: Reply) -> Reply:
        read.append(question.text)
        return given

    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 5}):
        for run, endpoint in zip(runs, ("shop", "twice", "twice"), strict=True):
            await client.update_flow_run_labels(run.id, {"saferollout.endpoint": endpoint})

        with pytest.raises(Refused, match="no rollout of an endpoint shopp waits for an approval"):
            await answer("shopp", YES)
        with pytest.raises(Refused, match=r"2 runs wait for an approval of twice; name one: .*-.*, .*-"):
            await answer("twice", YES)
        await answer("shop", YES, read=keep)

    assert read == ["# Give green 10%?"]
    assert (await client.read_flow_run(runs[0].id)).state_name == "Running"


async def test_what_another_flow_asks_is_not_answered(client: PrefectClient) -> None:
    """Its form has no evidence: it is somebody else's question."""
    run = await paused(client, written=False)
    keys = keyset_from_paused_state(Paused(pause_key=f"{DIGEST}-10"))
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 5}):
        await client.create_flow_run_input(run.id, keys["schema"], json.dumps({"properties": {"value": {}}}))
        await client.create_flow_run_input(run.id, keys["description"], json.dumps("# How many?"))

    with pytest.raises(Refused, match="asks for something else than an approval of a rollout"):
        await answer(run.id, YES)


@pytest.mark.parametrize(
    ("status", "passes"),
    [(302, True), (408, True), (429, True), (500, True), (503, True), (401, False), (404, False), (422, False)],
)
def test_what_the_server_refuses_does_not_pass(status: int, passes: bool) -> None:
    """Failures are waited out; a refusal is none that time cures."""
    request = httpx.Request("GET", "http://nowhere")
    error = httpx.HTTPStatusError("", request=request, response=httpx.Response(status, request=request))

    assert passing(error) is passes
    assert passing(httpx.ConnectError("refused"))
