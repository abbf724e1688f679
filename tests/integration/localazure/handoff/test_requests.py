"""Requests for rollouts at a real Prefect server: each once, watched, retrained."""

import contextlib
import contextvars
import os
import shutil
import sqlite3
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Model
from prefect.events import Event

import saferollout
from flows.watch_models import watch_models
from saferollout.config.request import read_event
from tasks.lost_requests import FAILED, recover_events, run_key
from tests.support.handoff import deployment, post, runs
from tests.support.localazure.arm import Arm, Assets
from tests.support.localazure.sdk import PROJECT
from tests.support.prefect import Server
from tests.support.stack import started, wait_for

pytestmark = pytest.mark.xdist_group("handoff")  # one server

GOOD = {"config": "rollout", "model": {"name": "m", "version": "1"}, "by": "eve", "why": "new data", "overrides": {}}
WATCH = "import asyncio; from flows.watch_models import watch_models; asyncio.run(watch_models())"


def test_one_id_makes_one_run_also_twenty_times_at_once(server: Server) -> None:
    """From Python and by plain HTTP; another id, or config, makes another one."""
    before = len(runs(server))

    def submit(config: str) -> str:
        return saferollout.submit(config, "m:1", by="eve", request_id="one")

    body = {"parameters": GOOD | {"request_id": "two"}, "idempotency_key": "rollout two"}
    path = f"/deployments/{deployment(server)['id']}/create_flow_run"
    with ThreadPoolExecutor(20) as threads:
        contexts = [contextvars.copy_context() for _ in range(20)]  # Prefect's settings are in it
        submitted = set(threads.map(lambda context: context.run(submit, "rollout"), contexts))
        posted = {answer["id"] for _, answer in threads.map(lambda _: post(server, path, body), range(20))}

    assert (len(submitted), len(posted)) == (1, 1)
    assert submitted != posted
    assert len(runs(server)) == before + 2
    assert saferollout.submit("rollout", "m:1", request_id="two") in posted
    assert submit("other") not in submitted | posted
    (run,) = (found for found in runs(server) if found["id"] in submitted)
    assert run["parameters"]["model"] == {"name": "m", "version": "1"}


def emit(server: Server, payload: dict[str, Any], ended: str) -> tuple[str, Event]:
    """Ask for a rollout by an event; return its id, and how Prefect's attempt to start the run ended."""
    event = {"id": str(uuid.uuid4()), "occurred": datetime.now(UTC).isoformat(), "event": "saferollout.requested"}
    resource = {"resource": {"prefect.resource.id": "saferollout.m"}, "payload": payload}
    post(server, "/events", [event | resource])
    cause = {"id": [f"prefect.event.{event['id']}"], "role": ["triggering-event"]}
    wanted = {"filter": {"event": {"name": [ended]}, "related": cause}}
    (found,) = wait_for(ended, lambda: post(server, "/events/filter", wanted)[1]["events"] or None)
    return event["id"], Event.model_validate(found)


def test_a_run_that_prefect_has_started_for_an_event_has_the_key_that_we_know(server: Server) -> None:
    """So the guard starts none beside it."""
    before = {run["id"] for run in runs(server)}

    _, done = emit(server, {"config": "rollout"}, "prefect.automation.action.executed")

    (made,) = (run for run in runs(server) if run["id"] not in before)
    assert made["idempotency_key"] == run_key(done)


async def test_an_event_is_not_lost_where_prefect_cannot_start_its_run(server: Server) -> None:
    """Its server gives up at the first failure; the guard starts one run, with what the event asked for."""
    before = {run["id"] for run in runs(server)}
    payload = {"config": "rollout", "why": "<new data>"}
    with contextlib.closing(sqlite3.connect(server.database, timeout=60, isolation_level=None)) as database:
        database.execute("CREATE TRIGGER no_run BEFORE INSERT ON flow_run BEGIN SELECT RAISE(ABORT, 'no'); END")
        try:
            event, _ = emit(server, payload, FAILED)
        finally:
            database.execute("DROP TRIGGER no_run")

    done = [await recover_events.fn(), await recover_events.fn()]

    (made,) = (run for run in runs(server) if run["id"] not in before)
    assert read_event(made["parameters"]["event"]).why == payload["why"]
    assert [list(each) for each in done] == [[f"event {event}"], []]
    assert f"run {made['name']} does it" in done[0][f"event {event}"]


@pytest.mark.parametrize("causes", [["triggering-event"], []], ids=["another event", "none"])
async def test_what_a_team_s_own_automation_failed_to_start_is_left(server: Server, causes: list[str]) -> None:
    """Only requests for rollouts are ours: nobody else's event becomes one."""
    before = len(runs(server))
    event = {"id": str(uuid.uuid4()), "occurred": datetime.now(UTC).isoformat(), "payload": {"config": "rollout"}}
    its_own = {"event": "team.model.registered", "resource": {"prefect.resource.id": "team.model"}}
    here = f"prefect.deployment.{deployment(server)['id']}"
    target = {"prefect.resource.id": here, "prefect.resource.role": "target"}
    cause = {"prefect.resource.id": f"prefect.event.{event['id']}"}
    related = [target, *(cause | {"prefect.resource.role": role} for role in causes)]
    failure = {
        "id": str(uuid.uuid4()),
        "event": FAILED,
        "resource": {"prefect.resource.id": f"prefect.automation.{uuid.uuid4()}"},
        "payload": {"action_index": 0, "invocation": str(uuid.uuid4())},
        "related": related,
    }
    post(server, "/events", [event | its_own, event | failure])
    both = {"filter": {"id": {"id": [event["id"], failure["id"]]}}}
    wait_for("both", lambda: len(post(server, "/events/filter", both)[1]["events"]) == 2 or None)

    assert await recover_events.fn() == {}
    assert len(runs(server)) == before


@pytest.fixture
def ready(arm: Arm, assets: Assets) -> list[str]:
    """Fifty models, of which three have a version that is ready."""
    uri = arm.get(assets.models[0].removeprefix(f"{arm.workspace}/"))["properties"]["modelUri"]
    for number in range(50):
        tags = {"stage": "ready", "saferollout.config": "rollout"} if number in (7, 23, 42) else {}
        body = {"properties": {"modelUri": uri, "modelType": "custom_model", "tags": tags}}
        arm.call("PUT", f"models/watched-{number}/versions/1", body).raise_for_status()
    return [f"watched-{number}:1" for number in (23, 42, 7)]


async def test_each_version_that_is_ready_is_requested_once(
    server: Server, ready: list[str], record_property: Any
) -> None:
    """Also where the watcher is killed in the middle; fifty models are looked at in seconds."""

    def requested() -> list[str] | None:
        names = [(run["parameters"].get("model") or {}).get("name", "") for run in runs(server)]
        return sorted(f"{name}:1" for name in names if name.startswith("watched-")) or None

    with started([sys.executable, "-c", WATCH], dict(os.environ) | {"PREFECT_API_URL": server.url}):  # and killed
        wait_for("the first request", requested)

    began = time.monotonic()
    done = await watch_models()
    took_s = time.monotonic() - began

    record_property("seconds for 50 models", round(took_s, 2))
    assert {name: done[name].partition(":")[0] for name in ready}.keys() == set(ready)
    assert requested() == ready
    again = await watch_models()
    assert all(again[name].startswith("already requested: run ") for name in ready)
    assert requested() == ready


# the SDK downloads in old manners of its storage client
@pytest.mark.filterwarnings("ignore:The use of a .BlobProperties. instance:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:content_as_bytes is deprecated:DeprecationWarning")
def test_a_model_that_is_better_is_registered_and_handed_over(
    server: Server, client: MLClient, arm: Arm, assets: Assets, tmp_path: Path
) -> None:
    """Against the version that is live; where it is not better by the margin, nothing is registered."""
    # imported here, for every process that collects tests would else spend a second on them
    import joblib
    from sklearn.linear_model import LinearRegression

    from examples.retrain import retrain

    data = retrain.load()
    old = Path(shutil.copytree(PROJECT / "models" / "v1", tmp_path / "old"))
    joblib.dump(LinearRegression().fit(data.training[:40], data.training_truth[:40]), old / retrain.FILE)
    live = client.models.create_or_update(Model(name="retrained", version="1", path=old))
    arm.endpoint("retrained")
    body = arm.deployment(assets)
    body["properties"]["model"] = live.id
    assert arm.run("PUT", "onlineEndpoints/retrained/deployments/blue", body)["status"] == "Succeeded"
    arm.endpoint("retrained", traffic={"blue": 100})

    refused = retrain.retrain("retrained", margin=1000)
    done = retrain.retrain("retrained")

    same = retrain.losses(retrain.fit(data), data)
    assert retrain.compare(same, same, 0.95) == (0, 0)
    assert refused.startswith("not better than retrained:1 by more than 1000")
    assert done.startswith("registered retrained:2, mean loss smaller than that of retrained:1 by ")
    made = client.models.get("retrained", "2")
    assert made.tags.keys() == {"trained_by", "data", "compared_with", "gain"}
    assert made.tags["compared_with"] == "retrained:1"
    trained_by = made.tags["trained_by"]
    assert done.endswith(trained_by)
    event = wait_for("its event's run", lambda: next(filter(lambda text: trained_by in text, events(server)), None))
    request = read_event(event)
    assert (str(request.model), request.request_id) == ("azureml:retrained:2", trained_by)
    assert request.by == f"retraining run {trained_by}"


def events(server: Server) -> list[str]:
    """The events that have started runs."""
    return [run["parameters"].get("event", "") for run in runs(server)]
