"""What an approval takes and what not: answers to what was shown, in time, while the run still asks."""

import json
import signal
import subprocess
from contextlib import closing

import httpx
import pytest

from localazure.chaos import Chaos
from saferollout.rollout.record import Phase
from tests.support.stack import Endpoint, Stack, phase_of, started, wait_for


def test_nobody_answers_a_deployed_run(stack: Stack, endpoint: Endpoint) -> None:
    """Prefect's server fails a suspended run whose time is over and runs no code of it; the rollout goes back."""
    stages = [stage | {"approval_timeout_s": 30} for stage in endpoint.stages(approval_at=100)]
    run = endpoint.submit(endpoint.config(stages=stages))

    stack.until(run, "Suspended")
    assert endpoint.state().traffic == {"blue": 90, "green": 10}
    stack.until(run, "Failed")

    baseline(endpoint)
    assert "does not wait for an approval" in stack.cli("approve", run, code=1)


def test_asking_run_that_somebody_ends(stack: Stack, endpoint: Endpoint) -> None:
    """Cancelled while its question is open, `saferollout run` goes back, says so and exits with 1.

    Before that, in a pid namespace of its own on the same host, the same command neither takes the living rollout over
    nor skips its approval.
    """
    config = str(endpoint.config(stages=endpoint.stages(approval_at=100)))
    with started(stack.command("run", config, "--approve", "ui", "--json"), stack.env) as asking:
        run = wait_for("the question", lambda: waiting(stack, endpoint))
        second = subprocess.run(
            ["unshare", "--pid", "--fork", "--mount-proc", *stack.command("run", config, "--approve", "auto")],
            env=stack.env_of_its_own,
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode == 1, second.stderr
        assert "is unfinished: begun by" in second.stderr
        state = endpoint.state()
        assert (state.traffic, state.tags["saferollout.flow-run"]) == ({"blue": 90, "green": 10}, run)
        assert stack.run(run)["state_name"] == "Paused"
        stack.api("POST", f"/flow_runs/{run}/set_state", json={"state": {"type": "CANCELLING"}, "force": True})
        output, errors = asking.communicate(timeout=120)

    assert asking.returncode == 1, errors
    result = json.loads(output)
    assert (result["outcome"], result["reason"]) == ("rolled_back", "the run was cancelled in Prefect")
    assert (result["traffic"], result["instance_counts"]["blue"]) == ({"blue": 100}, 1)
    assert phase_of(endpoint) is None
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


def test_answer_must_be_to_what_is_asked_and_a_rollback_needs_nothing_but_the_tags(
    stack: Stack, endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """An answer to other evidence is refused by the command line and by the server; the run goes on waiting.

    A rollback with an empty Prefect home takes back what the waiting run began. While Azure fails it insists for long:
    Ctrl-C ends it, and says so. It finishes even if it was itself killed half-way.
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
    assert endpoint.state().traffic == {"blue": 90, "green": 10}

    env = {name: value for name, value in stack.env.items() if not name.startswith("PREFECT_")}
    env |= {"PREFECT_HOME": str(tmp_path_factory.mktemp("bare")), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    rollback = stack.command("rollback", endpoint.name)
    with (
        closing(Chaos(stack.env)) as chaos,
        chaos.answer(503, method="PUT", path=f"onlineEndpoints/{endpoint.name}", times=None) as down,
        started(rollback, env) as interrupted,
    ):
        wait_for("a refused change", lambda: down.hits or None)
        interrupted.send_signal(signal.SIGINT)
        _, errors = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 1
    assert errors.splitlines()[-1] == (
        "error: interrupted: the rollback is not done, and what Azure has begun goes on; repeat the command"
    )
    assert endpoint.state().traffic == {"blue": 90, "green": 10}

    with started(rollback, env) as killed:
        wait_for("the rollback", lambda: phase_of(endpoint) is Phase.ROLLING_BACK or killed.poll() is not None or None)
    if phase_of(endpoint) is not None:
        Stack(stack.directory, env).cli("rollback", endpoint.name)

    baseline(endpoint)
    stack.cli("approve", run, "--by", "Ada")
    assert "rolled back" in stack.until(run, "Failed")["state"]["message"]
    assert endpoint.state().traffic == {"blue": 100}


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
    env = {name: value for name, value in stack.env_of_its_own.items() if name != "PREFECT_API_URL"} | late

    output = Stack(stack.directory, env).cli("retire", code=3)

    assert "error: Prefect's server: Timed out" in output
    assert "Traceback" not in output
