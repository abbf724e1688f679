"""The guard: what nobody watches is watched all the same, with Prefect and without."""

import json

from tests.acceptance.test_kept import change_variables
from tests.support.stack import STAGE, Endpoint, Stack, phase_of, wait_for


def test_a_candidate_that_turns_bad_while_people_think_goes_back(stack: Stack, endpoint: Endpoint) -> None:
    """Good at first, then harmful while its question is open: rolled back, and the question takes no answer.

    Somebody else changes it in between: it is judged from then on by nothing that was seen before.
    """
    deployment, switch = endpoint.turning("assert False, 'turned bad'")
    stages = [{"traffic": share, "judge": STAGE, "approval": share == 100, "recheck_s": 1} for share in (10, 100)]
    run = endpoint.submit(endpoint.config(deployment=str(deployment), stages=stages))
    stack.until(run, "Suspended")
    looked = json.loads(stack.cli("guard", endpoint.name, "--json"))["done"][endpoint.name]
    assert looked.startswith("waits for a person to approve 100% until ")
    assert "harmful" not in looked
    assert endpoint.state().traffic == {"blue": 90, "green": 10}
    change_variables(endpoint)
    switch.touch()

    looked = json.loads(stack.cli("guard", endpoint.name, "--json"))["done"][endpoint.name]

    assert looked.startswith("rolled back: green went bad at 10% (waits for a person"), looked
    assert "green is no longer what was tested" in looked
    assert "harmful" in looked
    assert (phase_of(endpoint), endpoint.state().traffic) == (None, {"blue": 100})
    ended = stack.run(run)
    assert ended["state_name"] == "Failed"
    (entry,) = json.loads(stack.cli("history", endpoint.name, "--json"))["entries"]
    assert (entry["event"]["kind"], entry["event"]["flow_run"]) == ("outcome", run)
    assert entry["event"]["reason"].startswith("rolled_back: green went bad at 10%")
    assert ended["state"]["message"] == looked
    assert ended["state"]["data"]["storage_key"], "its outcome cannot be read"
    refused = stack.cli("approve", run, "--by", "Ada", code=1)
    assert "rolled back: green went bad at 10%" in refused


def test_a_request_is_not_lost_with_the_process_of_its_run(stack: Stack, endpoint: Endpoint) -> None:
    """Its worker reports a crash before anything is begun: the guard, told by an event, has it begin, and it asks."""
    run = endpoint.submit(endpoint.config(), held=True)
    stack.api("POST", f"/flow_runs/{run}/set_state", json={"state": {"type": "CRASHED"}, "force": True})

    wait_for("its question", lambda: stack.run(run)["state_name"] == "Suspended" or None)

    states = [state["name"] for state in stack.api("GET", "/flow_run_states/", params={"flow_run_id": run})]
    assert states[:3] == ["Scheduled", "Crashed", "AwaitingRetry"]
    stack.cli("reject", run, "--by", "Ada", "--comment", "seen")
    stack.until(run, "Failed")
