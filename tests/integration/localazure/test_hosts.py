"""A rollout whose steps run on two hosts and in Kubernetes' pods: each clones the team's repository for itself."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localazure.testing import LocalAzure
from saferollout_cli.pool import read_pool
from tests.support.kubernetes import MANIFEST, install_worker, make_jobs, pod
from tests.support.prefect import Server
from tests.support.stack import Stack, wait_for
from tests.support.team import Host, Team


@pytest.fixture
def stack(tmp_path: Path, azure: LocalAzure, forks: str) -> Iterator[Stack]:
    """A Prefect server, and no worker; each host imports what it has cloned."""
    with Server(tmp_path, forks) as server:
        server.start()
        yield Stack(tmp_path, Stack(tmp_path, server.env | azure.environ).env_of_its_own)


def test_another_host_takes_a_rollout_up(stack: Stack, tmp_path: Path) -> None:
    """The first one asks and is gone for ever; pods of Jobs go on, one after another, and the second host promotes.

    All of it from what was kept, and a clone of its own. A pod that is told to end, as when its node is drained, hands
    the run back at once: users keep what they get, nobody is asked again, and the next pod judges on.
    """
    team = Team(tmp_path / "team")
    team.add("hosts")
    stack.cli("setup", "--pull", team.publish())
    assert "nothing to change" in stack.cli("setup", "--check", "--pull", team.repository.as_uri())
    workspace = team.bootstrap("hosts")
    results = tmp_path / "results"

    with Host(tmp_path / "one", stack.env, results, sys.executable).worker:
        deployment = stack.api("GET", "/deployments/name/rollout/rollout")["id"]
        body = {"parameters": {"config": "hosts"}}
        run = stack.api("POST", f"/deployments/{deployment}/create_flow_run", json=body)["id"]
        stack.until(run, "Suspended")
        assert "10%" in stack.question(run)
    assert workspace.get_endpoint("hosts").traffic == {"blue": 100}
    approve(stack, run, 10)
    (made,) = make_jobs(stack, install_worker(tmp_path / "worker"), read_pool(MANIFEST).template, run, {})
    secret = stack.env_of_its_own | {"PREFECT_LOCAL_STORAGE_PATH": str(results)}
    with pod(tmp_path / "drained", made["manifest"], secret) as drained:
        wait_for("10% for green", lambda: workspace.get_endpoint("hosts").traffic.get("green") or None)
        drained.send_signal(signal.SIGTERM)
        assert drained.wait(60) == 0
    stack.until(run, "AwaitingRetry")
    assert workspace.get_endpoint("hosts").traffic == {"blue": 90, "green": 10}
    with pod(tmp_path / "next", made["manifest"], secret) as following:
        stack.until(run, "Suspended")
        assert following.wait(60) == 0
    approve(stack, run, 100)
    with Host(tmp_path / "two", stack.env, results, sys.executable).worker:
        stack.until(run, "Completed")

    state = workspace.get_endpoint("hosts")
    assert (state.traffic, list(state.deployments)) == ({"green": 100}, ["green"])
    steps = {"one": "smoke test green", "drained": "shift green to 10%", "two": "shift green to 100%"}
    for host, step in (steps | {"next": "judge green at 10%"}).items():
        assert step in (tmp_path / f"{host}.log").read_text()


def approve(stack: Stack, run: str, share: int) -> None:
    """Answer the question for this share."""
    assert f"{share}%" in stack.question(run)
    stack.cli("approve", run, "--by", "Ada", "--comment", "looks good")
