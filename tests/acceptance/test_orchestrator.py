"""Prefect's server dies, or somebody ends the run in Prefect, while the candidate has traffic."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.stack import STAGE, Endpoint, Stack, phase_of, started, wait_for
from tests.support.trouble import Strike, failing, full, killed, late_candidate, slow, throttled

LONG = [
    {"traffic": 10, "approval": False, "recheck_s": 1, "judge": STAGE | {"min_duration_s": 40, "max_duration_s": 300}},
    {"traffic": 100, "approval": False, "recheck_s": 1, "judge": STAGE},
]


@pytest.fixture
def late(endpoint: Endpoint) -> tuple[Path, Path]:
    """A config whose candidate fails every request once a file exists, and that file."""
    return late_candidate(endpoint, stages=LONG)


def at_ten(endpoint: Endpoint) -> bool | None:
    """Whether the candidate has its 10%."""
    return endpoint.state().traffic == {"blue": 90, "green": 10} or None


@pytest.mark.parametrize("trouble", [killed, throttled, failing, slow, full])
def test_harm_is_stopped_whatever_fails_to_record_it(
    stack: Stack,
    endpoint: Endpoint,
    late: tuple[Path, Path],
    tmp_path: Path,
    trouble: Callable[[Stack, Path], AbstractContextManager[tuple[dict[str, str], Strike]]],
) -> None:
    """Though Prefect or the disk fails, a candidate that turns bad is back within 5 s of the reported verdict."""
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
