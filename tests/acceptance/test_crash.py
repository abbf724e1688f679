"""A process that is killed in the middle of a rollout: the same command, or a retry, finishes what it began."""

import json
import os
import signal

import psutil
import pytest

from saferollout.rollout.lookout import note_resume
from saferollout.rollout.record import PREFIX, Record
from tests.support.stack import FINAL, STAGE, Endpoint, Stack, phase_of, started, wait_for

SLOW_STAGES = [
    {"traffic": 10, "approval": True, "recheck_s": 1, "judge": STAGE | {"min_duration_s": 8}},
    {"traffic": 100, "approval": False, "recheck_s": 1, "judge": STAGE},
]


def test_same_command_finishes_what_a_killed_one_began(stack: Stack, endpoint: Endpoint) -> None:
    """`saferollout run`, killed at 10% and typed again, promotes the candidate and asks nobody a second time.

    Whoever takes a rollout over that is at 100% judges every stage: that it was judged, only a tag says.
    """
    config = endpoint.config(stages=SLOW_STAGES)
    command = stack.command("run", str(config), "--approve", "auto")
    with started(command, stack.env):  # and killed
        wait_for("10%", lambda: endpoint.state().traffic == {"blue": 90, "green": 10} or None)
    forged = {f"{PREFIX}stage": "100"}
    endpoint.workspace().update_endpoint(endpoint.name, traffic={"green": 100}, tags=lambda there: there | forged)

    outcome = json.loads(stack.cli("run", str(config), "--approve", "ui", "--json"))

    assert outcome["outcome"] == "promoted"
    assert [(decision["stage"], decision["decision"]) for decision in outcome["decisions"]] == [(10, "approve")]
    assert [(found["gate"], found["verdict"]) for found in outcome["verdicts"]] == [
        ("smoke test", "passed"),
        ("judge at 10%", "healthy"),
        ("judge at 100%", "healthy"),
    ]
    assert endpoint.state().traffic == {"green": 100}
    again = json.loads(stack.cli("run", str(config), "--approve", "ui", "--json"))
    assert (again["outcome"], "nothing to do" in again["reason"]) == ("nothing_to_do", True)
    assert endpoint.state().traffic == {"green": 100}


def test_a_signal_rolls_back(stack: Stack, endpoint: Endpoint) -> None:
    """A cancelled CI job goes back to the baseline before `saferollout run` ends with 1."""
    command = stack.command("run", str(endpoint.config(stages=SLOW_STAGES)), "--approve", "auto")
    with started(command, stack.env) as interrupted:
        wait_for("10%", lambda: endpoint.state().traffic == {"blue": 90, "green": 10} or None)
        interrupted.send_signal(signal.SIGTERM)
        _, errors = interrupted.communicate(timeout=240)

    assert interrupted.returncode == 1, errors
    assert "interrupted; rolled back to the baseline" in errors
    assert phase_of(endpoint) is None
    assert endpoint.state().traffic == {"blue": 100}
    assert endpoint.state().deployments["blue"].instance_count == 1


@pytest.mark.parametrize("ended", ["terminated", "set to Failed"])
def test_deployed_run_that_is_ended_goes_back(stack: Stack, endpoint: Endpoint, ended: str) -> None:
    """A deployed run whose process gets SIGTERM, or that is set to Failed in Prefect, goes back while it judges."""
    run = endpoint.submit(endpoint.config(stages=[stage | {"approval": False} for stage in SLOW_STAGES]))
    wait_for("10%", lambda: endpoint.state().traffic == {"blue": 90, "green": 10} or None)
    if ended == "terminated":
        os.kill(process_of(run), signal.SIGTERM)
        stack.until(run, "Crashed")
    else:
        stack.api("POST", f"/flow_runs/{run}/set_state", json={"state": {"type": "FAILED"}, "force": True})

    wait_for("the end of the rollback", lambda: phase_of(endpoint) is None or None)

    state = endpoint.state()
    assert state.traffic == {"blue": 100}
    assert state.deployments["blue"].instance_count == 1


def test_a_living_process_that_is_taken_for_dead_leaves_its_run_to_the_next(stack: Stack, endpoint: Endpoint) -> None:
    """As where its heartbeats are late: the process that follows promotes the candidate, and nothing goes back."""
    run = endpoint.submit(endpoint.config(stages=[stage | {"approval": False} for stage in SLOW_STAGES]))
    wait_for("10%", lambda: endpoint.state().traffic == {"blue": 90, "green": 10} or None)
    first = process_of(run)
    record = Record.from_tags(endpoint.state().tags)
    assert record
    note_resume(endpoint.workspace(), endpoint.name, record)
    again = {"type": "SCHEDULED", "name": "AwaitingRetry"}
    stack.api("POST", f"/flow_runs/{run}/set_state", json={"state": again, "force": True})

    stack.until(run, "Completed")
    wait_for("the end of the first process", lambda: not psutil.pid_exists(first) or None)

    assert endpoint.state().traffic == {"green": 100}
    states = [state["name"] for state in stack.api("GET", "/flow_run_states/", params={"flow_run_id": run})]
    assert [state for state in states if state in FINAL or state == "AwaitingRetry"] == ["AwaitingRetry", "Completed"]


def process_of(run: str) -> int:
    """The process that executes a flow run."""

    def look() -> int | None:
        for process in psutil.process_iter():
            try:
                if process.environ().get("PREFECT__FLOW_RUN_ID") == run and not process.children():
                    return process.pid
            except psutil.Error:
                continue
        return None

    return wait_for("the run's process", look)


def crashed(stack: Stack, run: str) -> None:
    """Wait until the run is crashed and its worker is done with it: the worker's own report would undo a retry."""
    since = stack.until(run, "Crashed")["state"]["timestamp"]
    of_run = {"flow_run_id": {"any_": [run]}, "timestamp": {"after_": since}}

    def last_words() -> bool | None:
        logs = stack.api("POST", "/logs/filter", json={"logs": of_run})
        return any(log["name"] == "prefect.flow_runs.worker" for log in logs) or None

    wait_for("the worker's last words on the run", last_words)
