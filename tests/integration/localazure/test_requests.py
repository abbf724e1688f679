"""Requests for rollouts at a real Prefect server, by every way: once, refused with a reason, watched, retrained."""

import contextvars
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Model
from prefect.exceptions import ParameterBindError, ParameterTypeError
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.callables import get_call_parameters
from sklearn.linear_model import LinearRegression
from typer.testing import CliRunner

import saferollout
from examples.retrain import retrain
from flows.rollout import rollout
from flows.watch_models import watch_models
from saferollout.config.request import read_event, read_request
from saferollout.domain.errors import ConfigError
from saferollout_cli.commands import app
from tests.support import stack
from tests.support.localazure.arm import Arm, Assets
from tests.support.localazure.sdk import PROJECT
from tests.support.prefect import Server
from tests.support.stack import REPOSITORY, started, wait_for

GOOD = {"config": "rollout", "model": {"name": "m", "version": "1"}, "by": "eve", "why": "new data", "overrides": {}}
BAD: dict[str, list[Any]] = {
    "config": [5, None, "", [], {}],
    "model": [5, [], True, {}, {"name": "m"}, {"name": "a/b", "version": "1"}, {"name": "m", "version": "1/2"}],
    "by": [5, None, [], {}, "x" * 201],
    "why": [5, None, {}, "x" * 1001],
    "request_id": [5, None, "a b", "-a", "é", "x" * 129],
    "overrides": [
        5,
        "x",
        {"workspace": {"name": "mine"}},
        {"stages.approval": False},
        {"stages.judge": {}},
        {"when_busy": "supersede"},
        {"live.instance_count": 0},
        {"live.instance_count": 51},
        {"live.instance_count": 1.5},
        {"stages.approval_timeout_s": 0},
        {"stages.approval_timeout_s": "soon"},
    ],
    "approval": [False],
}
WATCH = "import asyncio; from flows.watch_models import watch_models; asyncio.run(watch_models())"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with our deployments, and no worker: what is requested stays scheduled."""
    made = Server(tmp_path_factory.mktemp("server"))
    command = [str(Path(sys.executable).parent / "saferollout"), "setup", "--json"]
    env = made.env | {"SAFEROLLOUT_HOME": str(REPOSITORY)}
    try:
        made.start()
        subprocess.run(command, env=env, cwd=REPOSITORY, capture_output=True, check=True)
        yield made
    finally:
        made.stop()


@pytest.fixture(autouse=True)
def at_server(server: Server) -> Iterator[None]:
    """What a test calls finds the server."""
    with temporary_settings({PREFECT_API_URL: server.url}):
        yield


def post(server: Server, path: str, body: Any) -> tuple[int, Any]:
    """Call the API as curl does; SQLite's passing 503 is asked again."""

    def call() -> tuple[int, Any] | None:
        response = stack.client().post(f"{server.url}{path}", json=body)
        return None if response.status_code == 503 else (response.status_code, response.json())

    return wait_for(path, call)


def runs(server: Server) -> list[dict[str, Any]]:
    """The runs of the deployed rollout."""
    body = {"deployments": {"name": {"any_": ["rollout"]}}}
    found: list[dict[str, Any]] = post(server, "/flow_runs/filter", body)[1]
    return found


def deployment(server: Server) -> str:
    """The id of the deployed rollout."""
    response = stack.client().get(f"{server.url}/deployments/name/rollout/rollout").raise_for_status()
    return str(response.json()["id"])


def test_one_id_makes_one_run_also_twenty_times_at_once(server: Server) -> None:
    """From Python and by plain HTTP; another id, or config, makes another one."""
    before = len(runs(server))

    def submit(config: str) -> str:
        return saferollout.submit(config, "m:1", by="eve", request_id="one")

    body = {"parameters": GOOD | {"request_id": "two"}, "idempotency_key": "rollout two"}
    path = f"/deployments/{deployment(server)}/create_flow_run"
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


def malformed() -> list[dict[str, Any]]:
    """Good requests but for one value, or for two."""
    single = [(key, value) for key, values in BAD.items() for value in values]
    pairs = [(one, other) for one in single for other in single if one[0] < other[0]]
    step = len(pairs) // 200
    return [GOOD | dict([pair]) for pair in single] + [GOOD | dict(pair) for pair in pairs[::step]]


def on_the_command_line(request: dict[str, Any]) -> list[str] | None:
    """The same as options; None where it cannot be written as such."""
    model = request["model"]
    if "approval" in request or not all(isinstance(request[key], str) for key in ("config", "why")):
        return None
    if not isinstance(model, dict) or model.keys() != {"name", "version"}:
        return None
    if not isinstance(request.get("request_id", ""), str) or not isinstance(request["overrides"], dict):
        return None
    options = ["submit", request["config"], "--model", f"{model['name']}:{model['version']}", "--why", request["why"]]
    options += [f"--request-id={request.get('request_id', '')}"]
    return options + [f"--set={key}={json.dumps(value)}" for key, value in request["overrides"].items()]


def begin(request: dict[str, Any]) -> None:
    """What a run does with its parameters before anything else."""
    get_call_parameters(rollout.fn, (), request)
    rollout.validate_parameters(request)
    read_request(request)


def test_malformed_requests_are_refused_with_a_reason_by_every_way(server: Server, record_property: Any) -> None:
    """From Python, on the command line, as an event, and by HTTP, as which Prefect's form sends them, too.

    What Prefect's server cannot see itself, the run says before its flow begins.
    """
    requests = malformed()
    path = f"/deployments/{deployment(server)}/create_flow_run"
    before = len(runs(server))
    seen = {"typed": 0, "refused by the server": 0, "refused by the run": 0}
    for request in requests:
        with pytest.raises(ConfigError) as caught:
            read_event(json.dumps(request))
        assert all(problem.key and problem.remedy for problem in caught.value.problems)
        if "approval" not in request:
            with pytest.raises(ConfigError):
                saferollout.submit(**request)
        if (options := on_the_command_line(request)) and request["by"] == "eve":
            assert isinstance(CliRunner().invoke(app, options).exception, ConfigError), options
            seen["typed"] += 1
    assert len(runs(server)) == before
    for request in requests:
        status, answer = post(server, path, {"parameters": request})
        if status >= 400:
            assert answer["detail"]
            seen["refused by the server"] += 1
            continue
        with pytest.raises((ParameterTypeError, ParameterBindError, ConfigError)):
            begin(request)
        seen["refused by the run"] += 1
    for what, count in seen.items():
        record_property(what, count)
    assert len(requests) >= 200
    assert min(seen.values()) > 0


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
        names = [(run["parameters"]["model"] or {}).get("name", "") for run in runs(server)]
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
    assert retrain.compare(same, same, 0.95) == (0, 0, 0)
    assert refused.startswith("not better than retrained:1 by more than 1000")
    assert done.startswith("registered retrained:2; its rollout is run ")
    made = client.models.get("retrained", "2")
    assert made.tags.keys() == {"trained_by", "data", "compared_with", "gain"}
    assert made.tags["compared_with"] == "retrained:1"
    (run,) = (found for found in runs(server) if done.endswith(found["id"]))
    assert run["parameters"]["model"] == {"name": "retrained", "version": "2"}
    assert run["parameters"]["request_id"] == made.tags["trained_by"]
