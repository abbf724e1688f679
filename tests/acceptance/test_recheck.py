"""Between an answer and its shift: a candidate that went bad meanwhile does not get what was approved."""

from tests.support.stack import STAGE, Endpoint, Stack

FAULT = "assert not ((rows[:, 0] < 35) & (rows[:, 1] == 1)).any(), 'turned bad'"
"""For a group of patients that is too small for a smoke test to meet."""


def test_a_candidate_that_went_bad_while_a_question_was_open_goes_back(stack: Stack, endpoint: Endpoint) -> None:
    """Approved on good evidence, it fails for some users by then: it is judged again, and never gets 100%.

    The answer names the endpoint; what was done before the question is not shown as if it were done again.

    Neither the second start of the flow nor the rollback takes the instances that an autoscaler gave live meanwhile.
    """
    deployment, switch = endpoint.turning(FAULT)
    stages = [
        {"traffic": share, "judge": STAGE, "approval": share == 100, "recheck_s": recheck_s}
        for share, recheck_s in ((10, 1), (100, 60))
    ]
    run = endpoint.submit(endpoint.config(deployment=str(deployment), stages=stages))
    stack.until(run, "Suspended")
    assert endpoint.state().traffic == {"blue": 90, "green": 10}
    endpoint.scale("blue", 4)
    switch.touch()
    assert "Give green 100%" in stack.cli("approve", endpoint.name, "--by", "Ada", code=None)

    stack.until(run, "Scheduled", "Pending", "Running", "Resuming", "Failed")
    shown = stack.until(run, "Failed")

    message = shown["state"]["message"]
    assert message.startswith("rolled back: green went bad while the question of 100% was open: ")
    assert "harmful" in message
    state = endpoint.state()
    assert state.traffic == {"blue": 100}
    assert state.deployments["blue"].instance_count == 4
    steps = stack.api("POST", "/task_runs/filter", json={"flow_runs": {"id": {"any_": [run]}}})
    names = {step["name"] for step in steps}
    assert {"baseline", "shift green to 10%", "baseline (already done)", "shift green to 10% (already done)"} <= names
    assert "shift green to 100%" not in names
