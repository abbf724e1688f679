"""A run is paused, continued, hurried, aborted and retried, at a real Prefect server, on Azure's twin."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.context import FlowRunContext
from prefect.exceptions import Pause
from prefect.flow_runs import asuspend_flow_run
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Completed, Crashed, Failed, Paused, Pending, Running, Scheduled

from flows.cancellation import roll_back_cancelled
from saferollout.azure.memory import Memory
from saferollout.config.judge import JudgeConfig
from saferollout.config.recorded_requests import Recording
from saferollout.domain.errors import ConfigError, Refused
from saferollout.domain.evidence import Evidence, GateVerdict
from saferollout_cli.approvals import answer
from tasks.control import Action, act
from tasks.judge import judge_gate, skipped
from tasks.support.labels import PAUSE, ask_of, asked_of
from tasks.support.this_run import ThisRun
from tests.support.run_steps import WORKSPACE, YES, at_ten, going, record_of, running
from tests.support.stack import Stack
from tests.support.twin import NAME, edit, look, traffic_of


async def test_a_paused_run_goes_on_when_it_is_continued(
    memory: Memory, client: PrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process waits before the next step; whoever pauses it again, or continues what is not paused, hears so."""
    run = await running(client, monkeypatch)
    at_ten(memory, run.id)
    with pytest.raises(Refused, match="the rollout of shop is not paused"):
        await act(WORKSPACE, NAME, Action.CONTINUE, "Bob", "")
    await act(WORKSPACE, NAME, Action.PAUSE, "Ann", "lunch")
    with pytest.raises(Refused, match=r"is paused already, by Ann at .*: lunch"):
        await act(WORKSPACE, NAME, Action.PAUSE, "Bob", "")
    with FlowRunContext.model_construct(flow_run=run, flow=going):  # type: ignore[call-arg]  # enough of it
        waiting = asyncio.create_task(ThisRun(60).ready())
        done, _ = await asyncio.wait([waiting], timeout=3)
        assert not done

        assert "it was paused by Ann at" in await act(WORKSPACE, NAME, Action.CONTINUE, "Bob", "")
        await asyncio.wait_for(waiting, 60)

    assert traffic_of(look(memory)) == {"blue": 90, "green": 10}
    assert asked_of(await client.read_flow_run(run.id), PAUSE) is None


@pytest.mark.parametrize("how", ["command", "Resume in the UI"])
async def test_a_deployed_run_is_paused_without_a_process(
    memory: Memory, client: PrefectClient, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It is suspended without an end, takes no answer, and passes the same pause when it is started again."""
    run = await running(client, monkeypatch, deployed=True)
    at_ten(memory, run.id)
    await act(WORKSPACE, NAME, Action.PAUSE, "Ann", "")
    with FlowRunContext.model_construct(flow_run=run, flow=going, client=client):  # type: ignore[call-arg]  # enough of it
        with pytest.raises(Pause):
            await ThisRun(60).ready()
        shown = await client.read_flow_run(run.id)
        assert shown.state is not None
        assert (shown.state.name, shown.state.state_details.pause_timeout) == ("Suspended", None)
        with pytest.raises(Refused, match="is Suspended and does not wait for an approval"):
            await answer(run.id, YES)
        with pytest.raises(Refused, match="is paused: `saferollout continue` goes on; there is nothing to retry"):
            await act(WORKSPACE, NAME, Action.RETRY, "Ann", "")

        if how == "command":
            await act(WORKSPACE, NAME, Action.CONTINUE, "Ann", "")
        else:
            await client.resume_flow_run(run.id)
        assert (await client.read_flow_run(run.id)).state_name == "Resuming"
        await client.set_flow_run_state(run.id, Running(), force=True)
        await ThisRun(60).ready()


async def test_a_deployed_run_that_is_continued_while_it_suspends_itself_goes_on(
    memory: Memory, client: PrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its suspension, held up by a busy server, arrives when nobody looks for it any more: it resumes itself."""
    run = await running(client, monkeypatch, deployed=True)
    at_ten(memory, run.id)
    await act(WORKSPACE, NAME, Action.PAUSE, "Ann", "")

    async def suspend(**named: Any) -> None:
        await ask_of(client, run.id, PAUSE, None)
        await asuspend_flow_run(**named)

    monkeypatch.setattr("tasks.support.this_run.asuspend_flow_run", suspend)
    context = FlowRunContext.model_construct(flow_run=run, flow=going, client=client)  # type: ignore[call-arg]  # enough
    with context, pytest.raises(Pause):
        await ThisRun(60).ready()

    assert (await client.read_flow_run(run.id)).state_name == "Resuming"


async def test_the_judge_is_skipped_once(
    memory: Memory, client: PrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who, when and why stands in the evidence and in the endpoint's tags; the next judge judges again."""
    run = await running(client, monkeypatch)
    rollout = at_ten(memory, run.id)
    request = Recording(text='{"request": {"x": 1}}\n', total=1, distinct=1)  # the judge sends it at first
    rollout = rollout.model_copy(update={"project": rollout.project.model_copy(update={"recorded": request})})
    earlier = Evidence(gate="smoke test", verdict=GateVerdict.PASSED, summary="")
    with pytest.raises(ConfigError, match="promote: comment: is empty; say why the judge may be skipped"):
        await act(WORKSPACE, NAME, Action.PROMOTE, "Ann", " ")
    await act(WORKSPACE, NAME, Action.PROMOTE, "Ann", "a hot fix")
    with FlowRunContext.model_construct(flow_run=run, flow=going):  # type: ignore[call-arg]  # enough of it
        found = await judge_gate(rollout, JudgeConfig(), "judge at 10%", "judge-10", earlier)

    assert found.verdict is GateVerdict.SKIPPED
    assert found.summary.startswith("skipped by Ann at ")
    record = record_of(memory)
    assert record is not None
    skip = record.skips[10]
    assert (skip, skip.approver, skip.comment) == (found.skip, "Ann", "a hot fix")
    shown = await client.read_flow_run(run.id)
    assert skipped(shown, record.model_copy(update={"skips": {}}), "judge at 100%", found) is not None
    assert skipped(shown, record, "judge at 100%", found) is None


async def test_an_answer_to_an_aborted_rollout_is_refused_with_the_reason(
    memory: Memory, client: PrefectClient
) -> None:
    """It is rolled back from its tags, and its run is cancelled."""
    run = await client.create_flow_run(going, state=Running())
    at_ten(memory, run.id)
    paused: Any = Paused(timeout_seconds=600, pause_key="key")
    paused.state_details.run_input_keyset = {"description": "d", "schema": "s", "response": "r"}
    await client.set_flow_run_state(run.id, paused)

    done = await act(WORKSPACE, NAME, Action.ABORT, "Ann", "wrong model")

    assert done.endswith("; its flow run is cancelled")
    assert (traffic_of(look(memory)), record_of(memory)) == ({"blue": 100}, None)
    with pytest.raises(
        Refused, match=r"is Cancelled \(rolled back: aborted by Ann at .*: wrong model\) and does not wait"
    ):
        await answer(run.id, YES)
    with pytest.raises(Refused, match="endpoint shop has no rollout to roll back: nothing to do"):
        await act(WORKSPACE, NAME, Action.ABORT, "Ann", "")


async def test_an_abort_needs_no_prefect(memory: Memory, stack: Stack) -> None:  # noqa: ARG001  # it sets Prefect up
    """The server does not know the run, or is not there."""
    at_ten(memory, uuid4())
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        done = await act(WORKSPACE, NAME, Action.ABORT, "Ann", "")

    assert "could not be ended in Prefect" in done
    assert traffic_of(look(memory)) == {"blue": 100}


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (Failed(), ""),
        (Crashed(), ""),
        (
            Scheduled(name="Resuming"),
            "is Resuming, with a sign of life .* s ago: it hangs after 2 min 0 s without one",
        ),
        (Pending(), "is Pending, with a sign of life .* s ago: it hangs after 2 min 0 s without one"),
        (Running(), "is Running, with a sign of life .* s ago: it hangs after 6 min 40 s without one"),
        (Scheduled(), "is Scheduled already, and begins when a worker takes it"),
        (Completed(), "is Completed"),
        (Cancelled(), "is Cancelled"),
    ],
    ids=lambda value: getattr(value, "name", None) or "",
)
async def test_only_what_failed_or_hangs_is_retried(
    memory: Memory, client: PrefectClient, monkeypatch: pytest.MonkeyPatch, state: Any, why: str
) -> None:
    """The same run is scheduled again: what was decided in it stays decided. The same state, much older, hangs."""
    deployment = await client.create_deployment(await client.create_flow(going), name=uuid4().hex)
    run = await client.create_flow_run_from_deployment(deployment)
    await client.set_flow_run_state(run.id, state, force=True)
    at_ten(memory, run.id)
    if why:
        with pytest.raises(Refused, match=f"{why}; there is nothing to retry"):
            await act(WORKSPACE, NAME, Action.RETRY, "Ann", "")
        if "sign of life" not in why:
            return
        monkeypatch.setattr("tasks.control.HANGS_S", 0)
        monkeypatch.setattr("tasks.control.NOT_BEGUN_S", 0)

    await act(WORKSPACE, NAME, Action.RETRY, "Ann", "it was the network")

    shown = await client.read_flow_run(run.id)
    assert shown.state is not None
    assert (shown.state.name, str(shown.state.message).endswith("it was the network")) == ("Scheduled", True)


async def test_control_of_what_is_not_under_way_is_refused(memory: Memory, client: PrefectClient) -> None:
    """Nothing was begun; its run has ended, is not of a deployment, or is another server's."""
    with pytest.raises(Refused, match="no rollout of shop is under way: there is nothing to pause"):
        await act(WORKSPACE, NAME, Action.PAUSE, "Ann", "")
    with pytest.raises(ConfigError, match="pause: by: is empty"):
        await act(WORKSPACE, NAME, Action.PAUSE, "", "")
    run = await client.create_flow_run(going, state=Failed())
    at_ten(memory, run.id)
    for action in (Action.PAUSE, Action.CONTINUE, Action.PROMOTE):
        with pytest.raises(Refused, match="is Failed: nothing is at work; `saferollout retry shop` goes on"):
            await act(WORKSPACE, NAME, action, "Ann", "why")
    with pytest.raises(Refused, match="is not of a deployment: repeat the `saferollout run` that began it"):
        await act(WORKSPACE, NAME, Action.RETRY, "Ann", "")
    edit(memory, tags=look(memory).resource["tags"] | {"saferollout.flow-run": str(uuid4())})
    with pytest.raises(Refused, match=r"knows no flow run .*, in which ann@laptop began rollout"):
        await act(WORKSPACE, NAME, Action.PAUSE, "Ann", "")


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"saferollout.team": "x", "saferollout": "y", "my.saferollout.endpoint": "z"},
        {"saferollout.operation_timeout_s": "soon"},
        {"saferollout.subscription_id": "", "saferollout.resource_group": ""},
        {"saferollout.endpoint": "no such/name"},
        {"saferollout.pause": "{", "saferollout.skip-judge": 7},
    ],
    ids=str,
)
async def test_labels_of_others_do_not_keep_a_cancelled_run_from_going_back(
    memory: Memory, client: PrefectClient, monkeypatch: pytest.MonkeyPatch, broken: dict[str, Any]
) -> None:
    """What cannot be is not believed: the environment names the workspace, the record the run."""
    for name in ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZUREML_WORKSPACE_NAME"):
        monkeypatch.setenv(name, "local")
    run = await client.create_flow_run(going, state=Running())
    at_ten(memory, run.id)
    labels = WORKSPACE.model_dump() | {"endpoint": NAME}
    await client.update_flow_run_labels(run.id, {f"saferollout.{name}": value for name, value in labels.items()})
    await client.update_flow_run_labels(run.id, broken)

    await roll_back_cancelled(going, run, Cancelled())

    assert (traffic_of(look(memory)), record_of(memory)) == ({"blue": 100}, None)
