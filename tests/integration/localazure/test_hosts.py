"""A rollout whose steps run on two hosts: each clones the team's repository into a folder of its own."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localazure.testing import LocalAzure
from tests.support.prefect import Server
from tests.support.stack import Stack
from tests.support.team import Host, Team


@pytest.fixture
def stack(tmp_path: Path, azure: LocalAzure) -> Iterator[Stack]:
    """A Prefect server, and no worker."""
    server = Server(tmp_path)
    try:
        server.start()
        yield Stack(tmp_path, server.env | azure.environ)
    finally:
        server.stop()


def test_another_host_takes_a_rollout_up(stack: Stack, tmp_path: Path) -> None:
    """The first one asks and is gone for ever; the second one promotes, from what was kept and a clone of its own."""
    team = Team(tmp_path / "team")
    team.add("hosts")
    stack.cli("setup", "--pull", team.publish())
    assert "nothing to change" in stack.cli("setup", "--check", "--pull", team.repository.as_uri())
    stack.pause_guard()
    workspace = team.bootstrap("hosts")
    results = tmp_path / "results"

    with Host(tmp_path / "one", stack.env, results, sys.executable).worker:
        deployment = stack.api("GET", "/deployments/name/rollout/rollout")["id"]
        body = {"parameters": {"config": "hosts"}}
        run = stack.api("POST", f"/deployments/{deployment}/create_flow_run", json=body)["id"]
        stack.until(run, "Suspended")
        assert "10%" in stack.question(run)
    assert workspace.get_endpoint("hosts").traffic == {"blue": 100}
    with Host(tmp_path / "two", stack.env, results, sys.executable).worker:
        for share in (10, 100):
            stack.until(run, "Suspended")
            assert f"{share}%" in stack.question(run)
            stack.cli("approve", run, "--by", "Ada", "--comment", "looks good")
            stack.until(run, "Running", "Completed")
        stack.until(run, "Completed")

    state = workspace.get_endpoint("hosts")
    assert (state.traffic, list(state.deployments)) == ({"green": 100}, ["green"])
    for host, step in (("one", "smoke test green"), ("two", "shift green to 10%")):
        assert step in (tmp_path / f"{host}.log").read_text()
