"""A deployed rollout in a freeze window: no process waits for its end, nothing is shifted, and it can go back."""

import json
from datetime import timedelta

from saferollout.rollout.record import Record, now
from tests.support.stack import Endpoint, Stack, wait_for


def test_a_frozen_rollout_is_scheduled_for_the_end_and_can_be_cancelled(stack: Stack, endpoint: Endpoint) -> None:
    """It says until when it waits, also when it begins again in between; going back waits for nothing."""
    until = (now() + timedelta(days=30)).replace(microsecond=0)
    window = {"from": "2026-01-01T00:00", "to": f"{until:%Y-%m-%dT%H:%M:%S}"}
    run = endpoint.submit(endpoint.config(stages=endpoint.stages(approval=False), freeze=[window]))

    frozen = stack.until(run, "Frozen")

    assert frozen["next_scheduled_start_time"].startswith(f"{until + timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}")
    state = endpoint.state()
    assert state.traffic == {"blue": 100}
    assert "green" in state.deployments
    record = Record.from_tags(state.tags)
    assert record is not None
    assert record.frozen_until == until
    assert record.due is not None
    assert record.due > until
    shown = json.loads(stack.cli("status", endpoint.name, "--json").splitlines()[0])["endpoints"][0]
    assert shown["next"] == f"waits for the end of a freeze at {until:%Y-%m-%d %H:%M:%S} UTC"

    count = frozen["run_count"]
    again = {"type": "SCHEDULED", "name": "AwaitingRetry"}
    stack.api("POST", f"/flow_runs/{run}/set_state", json={"state": again, "force": True})

    def frozen_again() -> bool | None:
        found = stack.run(run)
        return (found["run_count"] > count and found["state_name"] == "Frozen") or None

    wait_for("the next look at the window", frozen_again)
    assert endpoint.state().traffic == {"blue": 100}

    stack.api("POST", f"/flow_runs/{run}/set_state", json={"state": {"type": "CANCELLING"}, "force": True})
    wait_for("the end of the rollback", lambda: Record.from_tags(endpoint.state().tags) is None or None)
    assert endpoint.state().traffic == {"blue": 100}
    wait_for("the end of the run", lambda: stack.run(run)["state_name"] == "Cancelled" or None)
