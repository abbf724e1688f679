"""Prefect's server dies, or somebody ends the run in Prefect, while the candidate has traffic."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from saferollout.demo import processes
from saferollout.demo.processes import Process
from tests.stack import DIABETES, REPOSITORY, STAGE, Endpoint, Stack, phase_of, started, wait_for

LATE = """
import os
import pathlib

import score

init = score.init


def run(raw_data):
    if pathlib.Path(os.environ["FAILS_WHEN"]).exists():
        raise LookupError("late: every request fails from now on")
    return score.run(raw_data)
"""
LONG = [
    {"traffic": 10, "approval": False, "recheck_s": 1, "judge": STAGE | {"min_duration_s": 40, "max_duration_s": 300}},
    {"traffic": 100, "approval": False, "recheck_s": 1, "judge": STAGE},
]


@pytest.fixture
def late(endpoint: Endpoint) -> tuple[Path, Path]:
    """A config whose candidate fails every request once a file exists, and that file."""
    code = endpoint.directory / "late"
    shutil.copytree(DIABETES / "onlinescoring", code)
    (code / "late.py").write_text(LATE)
    fails = endpoint.directory / "fails"
    config = endpoint.config(stages=LONG, orchestrator_grace_s=600)
    path = endpoint.directory / "green-deployment.yml"
    content = yaml.safe_load(path.read_text())
    content["code_configuration"] = {"code": str(code), "scoring_script": "late.py"}
    content["environment_variables"] = {"FAILS_WHEN": str(fails)}
    path.write_text(yaml.safe_dump(content))
    return config, fails


@pytest.fixture
def own_server(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Process]]:
    """The stack's local Azure with a Prefect server that may die."""
    directory = tmp_path_factory.mktemp("own")
    env = processes.prefect_env(directory) | {name: value for name, value in stack.env.items() if "PREFECT" not in name}
    with processes.prefect_server(directory, env, REPOSITORY) as server:
        server.wait_until(processes.healthy(env["PREFECT_API_URL"]), 120)
        yield Stack(directory, env), server


def at_ten(endpoint: Endpoint) -> bool | None:
    """Whether the candidate has its 10%."""
    return endpoint.state().traffic == {"blue": 90, "green": 10} or None


def test_harm_is_stopped_without_prefect(
    own_server: tuple[Stack, Process], endpoint: Endpoint, late: tuple[Path, Path]
) -> None:
    """With the server killed at 10%, a candidate that turns bad later is taken back; the command tells and exits 1."""
    (own, server), (config, fails) = own_server, late
    with started(own.command("run", str(config), "--approve", "auto", "--json"), own.env) as process:
        wait_for("10%", lambda: at_ten(endpoint))
        server.kill()
        fails.touch()
        wait_for("the baseline", lambda: endpoint.state().traffic == {"blue": 100} or None, timeout_s=120)
        out, errors = process.communicate(timeout=240)

    assert process.returncode == 1, errors
    result = json.loads(out)
    assert (result["outcome"], result["verdicts"][-1]["verdict"]) == ("rolled_back", "harmful")
    assert phase_of(endpoint) is None
    assert endpoint.state().deployments["blue"].instance_count == 1


@pytest.mark.parametrize(("state", "reason"), [("CANCELLING", "was cancelled"), ("FAILED", "was set to Failed")])
def test_a_run_that_is_ended_in_prefect_goes_back(stack: Stack, endpoint: Endpoint, state: str, reason: str) -> None:
    """Cancelled or set to Failed while it judges, `saferollout run` rolls back, says so and exits 1."""
    command = stack.command("run", str(endpoint.config(stages=LONG)), "--approve", "auto", "--json")
    with started(command, stack.env) as process:
        wait_for("10%", lambda: at_ten(endpoint))
        run = endpoint.state().tags["saferollout.flow-run"]
        body: dict[str, Any] = {"state": {"type": state, "name": state.title()}, "force": True}
        stack.api("POST", f"/flow_runs/{run}/set_state", json=body)
        out, errors = process.communicate(timeout=240)

    assert process.returncode == 1, errors
    assert f"the run {reason} in Prefect" in json.loads(out)["reason"]
    assert "Traceback" not in errors.rpartition("Finished in state")[2]
    assert endpoint.state().traffic == {"blue": 100}
