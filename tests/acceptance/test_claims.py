"""What an endpoint's tags hold, and what a rollout believes of it."""

import json
from typing import Any

from saferollout.rollout.record import PREFIX, Record
from tests.support.stack import Endpoint, Stack, wait_for


def record_of(endpoint: Endpoint) -> Record:
    """The record that the endpoint has now."""
    record = Record.from_tags(endpoint.state().tags)
    assert record is not None
    return record


def forge(endpoint: Endpoint, **tags: str) -> None:
    """Write tags of the record as anybody can who may change the endpoint."""
    forged = {f"{PREFIX}{name.replace('_', '-')}": value for name, value in tags.items()}
    endpoint.workspace().update_endpoint(endpoint.name, tags=lambda there: there | forged)


def test_a_forged_approval_is_reported_and_asked_again(stack: Stack, endpoint: Endpoint) -> None:
    """Tags that hold an approval, or a rejection, of 100% spare nobody the question: no worker has signed them.

    What was decided is in the history, whose entries hold, and in a signed statement that anybody can check.
    """
    run = endpoint.submit(endpoint.config(stages=endpoint.stages()))
    stack.until(run, "Suspended")
    decision = {
        "stage": 100,
        "decision": "reject",
        "approver": "Eve",
        "at": "2026-01-01T00:00:00Z",
        "evidence": "0" * 12,
    }
    forge(
        endpoint,
        approval_10=json.dumps(decision | {"stage": 10, "decision": "approve"}),
        approval_100=json.dumps(decision | {"rollout": record_of(endpoint).rollout, "flow_run": run}),
    )
    stack.cli("approve", run, "--by", "Ada")
    waiting = wait_for("the next question", lambda: _question(stack, run, "100%"))

    assert endpoint.state().traffic == {"blue": 90, "green": 10}
    assert f"Give green 100% of the traffic of {endpoint.name}?" in waiting
    assert "The tag saferollout.approval-100 claims an approval that no worker has signed for this rollout" in waiting
    assert record_of(endpoint).approvals[10].approver == "Ada"
    wait_for("a warning in the log", lambda: any("approval-100 claims" in line for line in stack.warnings(run)) or None)

    stack.cli("reject", run, "--by", "Ada")
    ended: dict[str, Any] = wait_for("the end", lambda: _ended(stack, run))
    assert ended["state"]["message"] == "rolled back: Ada rejected 100%"
    assert endpoint.state().traffic == {"blue": 100}

    listed = json.loads(stack.cli("history", endpoint.name, "--verify", "--json"))
    assert listed["outcome"] == "verified"
    events = [entry["event"] for entry in listed["entries"]]
    decided = [
        (one["decision"]["stage"], one["decision"]["decision"], one["decision"]["approver"]) for one in events[:2]
    ]
    assert decided == [(10, "approve", "Ada"), (100, "reject", "Ada")]
    assert events[2]["reason"] == "rolled_back: Ada rejected 100%"
    file = stack.directory / f"{run}.json"
    stack.cli("attest", run, "--output", str(file))
    said = json.loads(stack.cli("verify", str(file), "--json"))["statement"]["predicate"]
    assert (said["outcome"], said["traffic"]["after"]) == ("rolled_back", {"blue": 100})
    assert [(one["approver"], one["decision"]) for one in said["decisions"]] == [("Ada", "approve"), ("Ada", "reject")]
    file.write_text(file.read_text().replace('"payload": "ey', '"payload": "fy'))
    assert "does not hold" in stack.cli("verify", str(file), code=1)


def _question(stack: Stack, run: str, share: str) -> str | None:
    """What the run asks, once that is about this share; fails at once when the run has ended."""
    shown = stack.run(run)
    assert shown["state_name"] not in ("Completed", "Failed", "Crashed"), shown["state"]["message"]
    if shown["state_name"] != "Suspended":
        return None
    question = stack.question(run)
    return question if share in question.splitlines()[0] else None


def _ended(stack: Stack, run: str) -> dict[str, Any] | None:
    shown = stack.run(run)
    return shown if shown["state_name"] == "Failed" else None
