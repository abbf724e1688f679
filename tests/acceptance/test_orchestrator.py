"""Prefect's server dies, or somebody ends the run in Prefect, while the candidate has traffic."""

import json
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from saferollout.demo import processes
from tests.stack import DIABETES, REPOSITORY, STAGE, Endpoint, Stack, phase_of, started, wait_for
from tests.support.edge import Edge

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
LONG = [{"traffic": 10, "approval": False, "judge": STAGE | {"min_duration_s": 40, "max_duration_s": 300}},
        {"traffic": 100, "approval": False, "judge": STAGE}]  # fmt: skip


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


Strike = Callable[[subprocess.Popen[str]], None]


@contextmanager
def killed(stack: Stack, directory: Path) -> Iterator[tuple[dict[str, str], Strike]]:
    """A Prefect server of the run's own, which is killed."""
    env = processes.prefect_env(directory) | {name: value for name, value in stack.env.items() if "PREFECT" not in name}
    with processes.prefect_server(directory, env, REPOSITORY) as server:
        server.wait_until(processes.healthy(env["PREFECT_API_URL"]), 120)
        yield env, lambda _: server.kill()


@contextmanager
def throttled(stack: Stack, _: Path) -> Iterator[tuple[dict[str, str], Strike]]:
    """Every request to Prefect is answered 429, some with a Retry-After."""
    with Edge(stack.env["PREFECT_API_URL"]) as edge:
        yield stack.env | {"PREFECT_API_URL": edge.url}, lambda _: edge.throttle()


@contextmanager
def slow(stack: Stack, _: Path) -> Iterator[tuple[dict[str, str], Strike]]:
    """Prefect's answers take 20 s, or never come."""
    with Edge(stack.env["PREFECT_API_URL"]) as edge:
        yield stack.env | {"PREFECT_API_URL": edge.url}, lambda _: edge.delay()


@contextmanager
def full(stack: Stack, directory: Path) -> Iterator[tuple[dict[str, str], Strike]]:
    """The run's process can write to no file any longer: neither Prefect's results nor its log."""

    def strike(process: subprocess.Popen[str]) -> None:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    yield stack.env | {"PREFECT_LOCAL_STORAGE_PATH": str(directory / "results")}, strike


def at_ten(endpoint: Endpoint) -> bool | None:
    """Whether the candidate has its 10%."""
    return endpoint.state().traffic == {"blue": 90, "green": 10} or None


@pytest.mark.parametrize("trouble", [killed, throttled, slow, full])
def test_harm_is_stopped_whatever_fails_to_record_it(
    stack: Stack,
    endpoint: Endpoint,
    late: tuple[Path, Path],
    tmp_path: Path,
    trouble: Callable[[Stack, Path], AbstractContextManager[tuple[dict[str, str], Strike]]],
) -> None:
    """A candidate that turns bad while Prefect or the disk fails is back within 5 s of the verdict; the command tells."""
    (config, fails), log = late, tmp_path / "log"
    command = stack.command("run", str(config), "--approve", "auto", "--json")
    into_log = ["sh", "-c", 'log=$0; exec "$@" 2>"$log"', str(log), *command]
    with trouble(stack, tmp_path) as (env, strike), started(into_log, env) as process:
        wait_for("10%", lambda: at_ten(endpoint))
        strike(process)
        fails.touch()
        wait_for("the baseline", lambda: endpoint.state().traffic == {"blue": 100} or None, timeout_s=120)
        back_at = datetime.now(UTC)
        out, _ = process.communicate(timeout=240)

    assert process.returncode == 1, log.read_text()
    result = json.loads(out)
    verdict = result["verdicts"][-1]
    assert (result["outcome"], verdict["gate"], verdict["verdict"]) == ("rolled_back", "judge at 10%", "harmful")
    assert result["reason"] == verdict["summary"]
    assert (back_at - datetime.fromisoformat(verdict["at"])).total_seconds() < 5
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
