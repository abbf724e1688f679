"""Prefect's server dies, or somebody ends the run in Prefect, while the candidate has traffic."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from saferollout.rollout.record import TAG_HELD
from tests.support.stack import STAGE, Endpoint, Stack, phase_of, started, wait_for
from tests.support.trouble import Strike, failing, full, killed, late_candidate, slow, throttled

LONG = [
    {"traffic": 10, "approval": False, "recheck_s": 1, "judge": STAGE | {"min_duration_s": 40, "max_duration_s": 300}},
    {"traffic": 100, "approval": False, "recheck_s": 1, "judge": STAGE},
]


ONE, OTHER = (pytest.mark.xdist_group(f"orchestrator {number}") for number in (1, 2))
"""Who shares an endpoint; all of them one after the other would take minutes, of which most are waited."""


@pytest.fixture(scope="module")
def made(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Endpoint, Path, Path]]:
    """An endpoint for all tests here, with a config whose candidate fails every request once a file exists."""
    name = f"orchestrator {os.environ.get('PYTEST_XDIST_WORKER', '')}"
    endpoint = Endpoint.bootstrap(stack, tmp_path_factory.mktemp("late"), name)
    yield endpoint, *late_candidate(endpoint, stages=LONG)
    endpoint.delete()


@pytest.fixture
def late(made: tuple[Endpoint, Path, Path]) -> tuple[Endpoint, Path, Path]:
    """The same; the candidate answers again, and nobody holds it for what it did in an earlier test."""
    endpoint, _, fails = made
    fails.unlink(missing_ok=True)
    endpoint.workspace().update_endpoint(
        endpoint.name, tags=lambda tags: {name: value for name, value in tags.items() if name != TAG_HELD}
    )
    return made


def at_ten(endpoint: Endpoint) -> bool | None:
    """Whether the candidate has its 10%."""
    return endpoint.state().traffic == {"blue": 90, "green": 10} or None


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(killed, marks=ONE),
        pytest.param(throttled, marks=ONE),
        pytest.param(failing, marks=ONE),
        pytest.param(slow, marks=OTHER),
        pytest.param(full, marks=OTHER),
    ],
)
def test_harm_is_stopped_whatever_fails_to_record_it(
    stack: Stack,
    late: tuple[Endpoint, Path, Path],
    tmp_path: Path,
    trouble: Callable[[Stack, Path], AbstractContextManager[tuple[dict[str, str], Strike]]],
) -> None:
    """Though Prefect or the disk fails, a candidate that turns bad is back within 9 s of the reported verdict."""
    (endpoint, config, fails), log = late, tmp_path / "log"
    command = stack.command("run", str(config), "--approve", "auto", "--json")
    into_log = ["sh", "-c", 'log=$0; exec "$@" 2>"$log"', str(log), *command]
    with trouble(stack, tmp_path) as (env, strike), started(into_log, env) as process:
        wait_for("10%", lambda: at_ten(endpoint))
        strike(process)
        fails.touch()
        wait_for("the baseline", lambda: endpoint.state().traffic == {"blue": 100} or None, timeout_s=120, poll_s=0.2)
        back_at = datetime.now(UTC)
        out, _ = process.communicate(timeout=240)

    assert process.returncode == 1, log.read_text()
    result = json.loads(out)
    verdict = result["verdicts"][-1]
    assert (result["outcome"], verdict["gate"], verdict["verdict"]) == ("rolled_back", "judge at 10%", "harmful")
    assert result["reason"] == verdict["summary"]
    # whatever waits for Prefect to take what it is to show waits for 10 s
    assert (back_at - datetime.fromisoformat(verdict["at"])).total_seconds() < 9
    assert phase_of(endpoint) is None
    assert endpoint.state().deployments["blue"].instance_count == 1


@OTHER
def test_a_run_that_is_ended_in_prefect_goes_back(stack: Stack, late: tuple[Endpoint, Path, Path]) -> None:
    """Set to Failed while it judges, `saferollout run` rolls back, says so and exits 1."""
    endpoint, config, _ = late
    command = stack.command("run", str(config), "--approve", "auto", "--json")
    with started(command, stack.env) as process:
        wait_for("10%", lambda: at_ten(endpoint))
        run = endpoint.state().tags["saferollout.flow-run"]
        stack.api("POST", f"/flow_runs/{run}/set_state", json={"state": {"type": "FAILED"}, "force": True})
        out, errors = process.communicate(timeout=240)

    assert process.returncode == 1, errors
    assert "the run was set to Failed in Prefect" in json.loads(out)["reason"]
    assert "Traceback" not in errors.rpartition("Finished in state")[2]
    assert endpoint.state().traffic == {"blue": 100}
