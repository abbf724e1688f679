"""SIGKILL in the middle of changes, and `up` again on the same directory: every change ends as it would have."""

import datetime
import json
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from localazure.gateway.access_log import MAX_BYTES
from localazure.testing import LocalAzure
from tests.support.localazure.arm import ENDED, Arm, wait_for
from tests.support.localazure.sdk import register

pytestmark = pytest.mark.xdist_group("restart")  # the fixture takes its time

ENDPOINT = {"location": "local", "properties": {"authMode": "Key"}}


class Interrupted:
    """A local Azure that was killed with a change of every kind under way, and the one after it."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.operations: dict[str, str] = {}
        self.before: dict[str, str] = {}
        self.environ: dict[str, str] = {}
        self.kept: dict[str, Any] = {}
        self.key = ""

    def kill_in_the_middle(self) -> None:
        """Start a change of every kind, none of which ends, and kill."""
        with LocalAzure(self.state, timing="instant") as azure, Arm(azure.environ) as arm:
            assets = register(azure.environ)
            for name in ("updated", "deleted", "kept"):
                arm.endpoint(name)
            for name in ("steady", "renewed", "scaled", "removed"):
                arm.deploy("kept", name, assets)
            arm.deploy("updated", "blue", assets)
            arm.deploy("deleted", "blue", assets)
            arm.endpoint("kept", traffic={"renewed": 50, "scaled": 50})
            changes: list[tuple[str, str, Any]] = [
                ("PUT", "onlineEndpoints/created", ENDPOINT),
                ("PUT", "onlineEndpoints/updated", traffic({"blue": 100})),
                ("DELETE", "onlineEndpoints/deleted", None),
                ("PUT", "onlineEndpoints/kept/deployments/created", arm.deployment(assets)),
                ("PUT", "onlineEndpoints/kept/deployments/renewed", arm.deployment(assets, model=2)),
                ("PUT", "onlineEndpoints/kept/deployments/scaled", arm.deployment(assets, capacity=2)),
                ("PUT", "onlineEndpoints/kept/deployments/broken", broken(arm.deployment(assets))),
                ("DELETE", "onlineEndpoints/kept/deployments/removed", None),
            ]
            hang = azure.chaos.hang(times=None)
            for method, path, body in changes:
                answer = arm.call(method, path, body)
                url = answer.headers.get("Azure-AsyncOperation") or answer.headers["Location"]
                self.operations[path] = url.replace("mfeOperationResults", "mfeOperationsStatus")
            hang.wait(len(changes))
            self.before = {path: state(arm, path) for path in self.operations}
            self.environ, self.kept, self.key = azure.environ, arm.get("onlineEndpoints/kept"), arm.key("kept")
            leash = psutil.Process(azure.pid)
            (server,) = leash.children()
            server.kill()
            psutil.wait_procs([leash, server], timeout=30)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Interrupted, Arm]]:
    """The first has been killed; the second runs."""
    first = Interrupted(tmp_path_factory.mktemp("restart") / "state")
    first.kill_in_the_middle()
    with LocalAzure(first.state, timing="instant") as azure, Arm(azure.environ) as arm:
        yield first, arm


def state(arm: Arm, path: str) -> str:
    """Of the resource; "" when it is not there."""
    answer = arm.call("GET", path)
    return str(answer.json()["properties"]["provisioningState"]) if answer.status_code == 200 else ""


def traffic(shares: dict[str, int]) -> dict[str, Any]:
    """The body of an endpoint."""
    return {"location": "local", "properties": {"authMode": "Key", "traffic": shares}}


def broken(body: dict[str, Any]) -> dict[str, Any]:
    """A deployment whose init() raises."""
    body["properties"]["environmentVariables"] = {"BREAK_INIT": "1"}
    return body


CASES = {
    "onlineEndpoints/created": ("Creating", "Succeeded"),
    "onlineEndpoints/updated": ("Updating", "Succeeded"),
    "onlineEndpoints/deleted": ("Deleting", ""),
    "onlineEndpoints/kept/deployments/created": ("Creating", "Succeeded"),
    "onlineEndpoints/kept/deployments/renewed": ("Updating", "Succeeded"),
    "onlineEndpoints/kept/deployments/scaled": ("Scaling", "Succeeded"),
    "onlineEndpoints/kept/deployments/broken": ("Creating", "Failed"),
    "onlineEndpoints/kept/deployments/removed": ("Deleting", ""),
}


@pytest.mark.parametrize("path", CASES)
def test_a_change_that_was_interrupted_ends(path: str, interrupted: tuple[Interrupted, Arm]) -> None:
    """The client that follows the operation sees its end, and the resource is in the state that goes with it."""
    first, arm = interrupted
    before, after = CASES[path]
    assert first.before[path] == before
    ended = wait_for(lambda: arm.http.get(first.operations[path]).json(), lambda seen: seen["status"] in ENDED)
    assert ended["status"] == ("Failed" if after == "Failed" else "Succeeded")
    assert state(arm, path) == after


def test_what_was_wanted_is_so_afterwards(interrupted: tuple[Interrupted, Arm]) -> None:
    """The new model, both instances, the new traffic; and what was not being changed serves."""
    first, arm = interrupted
    for url in first.operations.values():
        wait_for(partial(arm.http.get, url), lambda answer: answer.json()["status"] in ENDED)
    steady = "onlineEndpoints/kept/deployments/steady"
    wait_for(lambda: arm.score("kept", {"x": 1}, "steady").status_code, lambda seen: seen == 200)
    assert state(arm, steady) == "Succeeded"
    assert arm.score("kept", {"x": 1}, "renewed").json()["y"] == 3
    assert len(arm.processes("kept", "scaled", 2)) == 2
    assert arm.score("kept", {}, "removed").status_code == 404
    assert arm.score("updated", {"x": 1}).json()["y"] == 2
    assert {arm.score("kept", {}).status_code for _ in range(10)} == {200}


def test_all_is_where_it_was(interrupted: tuple[Interrupted, Arm]) -> None:
    """Addresses, credentials, keys, and an endpoint that was not being changed."""
    first, arm = interrupted
    assert arm.environ == first.environ
    assert arm.get("onlineEndpoints/kept") == first.kept
    assert arm.key("kept") == first.key


def test_what_was_ended_in_order_goes_on_as_well(tmp_path: Path) -> None:
    """SIGTERM during a change: the next `up` finishes it, without spending its time again; tokens are still valid."""
    body = {"location": "local", "properties": {"authMode": "Key"}}
    with LocalAzure(tmp_path, timing="azure") as azure, Arm(azure.environ) as arm:
        operation = arm.call("PUT", "onlineEndpoints/created", body).headers["Azure-AsyncOperation"]
        assert state(arm, "onlineEndpoints/created") == "Creating"
        token = arm.http.headers["Authorization"]
    with LocalAzure(tmp_path, timing="azure") as azure, Arm(azure.environ) as arm:
        arm.http.headers["Authorization"] = token
        wait_for(lambda: arm.http.get(operation).json()["status"], lambda seen: seen == "Succeeded", 10)
        assert state(arm, "onlineEndpoints/created") == "Succeeded"


def logged(when: datetime.datetime, request_id: str) -> str:
    """A line of the traffic log."""
    row = {
        "time": when.isoformat(),
        "endpoint": "busy",
        "deployment": "blue",
        "method": "POST",
        "path": "/endpoints/busy/score",
        "protocol": "HTTP/1.1",
        "response_code": 200,
        "model_status_code": None,
        "request_bytes": 2,
        "response_bytes": 2,
        "received_ms": 1,
        "duration_ms": 5,
        "model_ms": "3",
        "request_delay_ms": None,
        "response_delay_ms": None,
        "request_id": request_id,
        "client_request_id": None,
        "mirrored": False,
    }
    return json.dumps(row) + "\n"


def requests(arm: Arm, endpoint: str) -> int:
    """How many there are of the endpoint in the table of Log Analytics."""
    query = f"AmlOnlineEndpointTrafficLog | where EndpointName == '{endpoint}' | count"
    url = f"/v1/workspaces/{arm.environ['AZURE_LOG_ANALYTICS_WORKSPACE_ID']}/query"
    (table,) = arm.http.post(url, json={"query": query}).raise_for_status().json()["tables"]
    return int(table["rows"][0][0])


def test_the_traffic_log_is_bounded_and_its_last_hours_outlive_a_restart(tmp_path: Path) -> None:
    """A long one is put aside, one such is kept; the first query already sees what was recent in it."""
    now = datetime.datetime.now(datetime.UTC)
    log, before = tmp_path / "traffic.jsonl", tmp_path / "traffic.1.jsonl"
    before.write_text(logged(now - datetime.timedelta(hours=9), "of a log that is dropped"))
    old = logged(now - datetime.timedelta(hours=8), "old")
    with log.open("w") as file:
        file.writelines([old] * (MAX_BYTES // len(old) + 1))
        file.writelines(logged(now, str(n)) for n in range(1000))
    with LocalAzure(tmp_path, timing="instant") as azure, Arm(azure.environ) as arm:
        assert requests(arm, "busy") == 1000
        arm.endpoint("busy")
        wait_for(lambda: not log.exists())  # Envoy begins the new one with the next request
        assert arm.score("busy", {}).status_code == 404
        wait_for(lambda: requests(arm, "busy"), lambda seen: seen == 1001)
        assert "of a log that is dropped" not in before.read_text()
    with LocalAzure(tmp_path, timing="instant") as azure, Arm(azure.environ) as arm:
        assert requests(arm, "busy") == 1001


def test_a_port_that_somebody_else_has_taken_is_exchanged(tmp_path: Path) -> None:
    """The gateway comes up on another one, and serves."""
    with LocalAzure(tmp_path, timing="instant"):
        pass
    identity = tmp_path / "identity.json"
    last = json.loads(identity.read_text())["scoring_port"]

    with (
        socket.create_server(("127.0.0.1", last)),
        LocalAzure(tmp_path, timing="instant") as azure,
        Arm(azure.environ) as arm,
    ):
        assert json.loads(identity.read_text())["scoring_port"] not in (0, last)
        assert arm.scoring.get(arm.endpoint("moved")).status_code == 401
