"""What an approval takes and what not: answers to what was shown, in time, while the run still asks."""

import json

import httpx
import pytest

from saferollout.rollout.record import Phase
from tests.support.stack import Endpoint, Stack, phase_of, started, wait_for


def test_nobody_answers_a_run_in_this_process(stack: Stack, endpoint: Endpoint) -> None:
    """The time for an answer over, the rollout goes back by itself and says so in one line and in its result."""
    stages = [stage | {"approval_timeout_s": 2} for stage in endpoint.stages()]

    result = json.loads(
        stack.cli("run", str(endpoint.config(stages=stages)), "--approve", "ui", "--json", code=1).splitlines()[0]
    )

    assert result["outcome"] == "rolled_back"
    assert result["reason"] == "nobody approved 10% within 2 s"
    assert result["traffic"] == {"blue": 100}
    assert result["instance_counts"]["blue"] == 1
    assert phase_of(endpoint) is None


def test_nobody_answers_a_deployed_run(stack: Stack, endpoint: Endpoint) -> None:
    """Prefect's server fails a suspended run whose time is over and runs no code of it; the rollout goes back."""
    stages = [stage | {"approval_timeout_s": 10} for stage in endpoint.stages(approval_at=100)]
    run = endpoint.submit(endpoint.config(stages=stages))

    stack.until(run, "Suspended")
    assert endpoint.state().traffic == {"blue": 90, "green": 10}
    stack.until(run, "Failed")

    baseline(endpoint)
    assert "does not wait for an approval" in stack.cli("approve", run, code=1)


@pytest.mark.parametrize(("ended", "becomes"), [("CANCELLING", "Cancelled"), ("FAILED", "Failed")])
def test_suspended_run_that_somebody_ends(stack: Stack, endpoint: Endpoint, ended: str, becomes: str) -> None:
    """Cancelled or set to Failed while its question is open, a deployed run takes no answer, and it goes back."""
    run = endpoint.submit(endpoint.config(stages=endpoint.stages(approval_at=100)))
    stack.until(run, "Suspended")

    stack.api("POST", f"/flow_runs/{run}/set_state", json={"state": {"type": ended}, "force": True})

    stack.until(run, becomes)
    baseline(endpoint)
    assert "does not wait for an approval" in stack.cli("approve", run, code=1)


@pytest.mark.parametrize(("ended", "becomes"), [("CANCELLING", "cancelled"), ("FAILED", "set to Failed")])
def test_asking_run_that_somebody_ends(stack: Stack, endpoint: Endpoint, ended: str, becomes: str) -> None:
    """Cancelled or set to Failed while its question is open, `saferollout run` goes back, says so and exits with 1."""
    config = endpoint.config(stages=endpoint.stages(approval_at=100))
    with started(stack.command("run", str(config), "--approve", "ui", "--json"), stack.env) as asking:
        run = wait_for("the question", lambda: waiting(stack, endpoint))
        stack.api("POST", f"/flow_runs/{run}/set_state", json={"state": {"type": ended}, "force": True})
        output, errors = asking.communicate(timeout=120)

    assert asking.returncode == 1, errors
    assert json.loads(output)["reason"] == f"the run was {becomes} in Prefect"
    baseline(endpoint)


def waiting(stack: Stack, endpoint: Endpoint) -> str | None:
    """The endpoint's run that waits for an answer."""
    named = {"name": {"like_": endpoint.name}, "state": {"name": {"any_": ["Paused"]}}}
    found = stack.api("POST", "/flow_runs/filter", json={"flow_runs": named})
    return found[0]["id"] if found else None


def baseline(endpoint: Endpoint) -> None:
    """Wait until no rollout is on the endpoint's record, and check that it is as it was before one."""
    wait_for("the end of the rollback", lambda: phase_of(endpoint) is None or None)
    state = endpoint.state()
    assert state.traffic == {"blue": 100}
    assert state.deployments["blue"].instance_count == 1


def test_answer_must_be_to_what_is_asked(stack: Stack, endpoint: Endpoint) -> None:
    """An answer to other evidence is refused by the command line and by the server; the run goes on waiting.

    A rollback takes back what the waiting run began, and finishes even if it was itself killed half-way.
    """
    run = endpoint.submit(endpoint.config(stages=endpoint.stages(approval_at=100)))
    stack.until(run, "Suspended")
    refusal = stack.cli("approve", run, "--evidence", "0123456789ab", code=1)
    assert f"asks something else by now: Give green 100% of the traffic of {endpoint.name}?" in refusal
    stale = {"decision": "approve", "approver": "Eve", "comment": "", "evidence": "0123456789ab"}
    for given in (stale, {name: value for name, value in stale.items() if name != "evidence"}):
        assert stack.api("POST", f"/flow_runs/{run}/resume", json={"run_input": given})["status"] == "REJECT"
    assert "write at most" in stack.cli("approve", run, "--comment", "x" * 501, code=2)
    assert stack.run(run)["state_name"] == "Suspended"

    with started(stack.command("rollback", endpoint.name), stack.env) as killed:
        wait_for("the rollback", lambda: phase_of(endpoint) is Phase.ROLLING_BACK or killed.poll() is not None or None)
    if phase_of(endpoint) is not None:
        stack.cli("rollback", endpoint.name)

    baseline(endpoint)


@pytest.mark.parametrize("command", ["approve", "reject"])
def test_no_prefect_server_is_reported_in_one_line(stack: Stack, command: str) -> None:
    """A server that is not there is the network's failure: exit code 3, no traceback."""
    with httpx.Client() as client, pytest.raises(httpx.ConnectError):
        client.get("http://127.0.0.1:9/")
    nowhere = stack.env | {"PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_CLIENT_MAX_RETRIES": "0"}

    output = Stack(stack.directory, nowhere).cli(command, "00000000-0000-0000-0000-000000000000", code=3)

    assert output.startswith("error: Prefect's server: ")
    assert len(output.splitlines()) == 1


def test_a_temporary_prefect_server_that_is_late_is_reported_in_one_line(stack: Stack) -> None:
    """Where no server is configured, Prefect starts one and waits so long; the failure has no traceback."""
    late = {"PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true", "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "1"}
    env = {name: value for name, value in stack.env.items() if name != "PREFECT_API_URL"} | late

    output = Stack(stack.directory, env).cli("retire", code=3)

    assert "error: Prefect's server: Timed out" in output
    assert "Traceback" not in output
