"""The flows around the rollout, and what a person may do to one: keep, retire, cancel, tear down."""

import json
from pathlib import Path

import pytest

from saferollout.config.project import load
from saferollout.rollout.begin import begin
from saferollout.rollout.create import create_candidate
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import Phase, Record, now
from saferollout.rollout.retire import end
from saferollout.rollout.scale import scale_candidate, scale_live
from saferollout.rollout.shift import shift_traffic
from tests.support.stack import Endpoint, Stack, phase_of, started, wait_for

RETIREMENT = pytest.mark.xdist_group("retirement")  # what is due in the workspace is anybody's to retire


def own_tags(endpoint: Endpoint) -> list[str]:
    """The record's tags on the endpoint."""
    return [tag for tag in endpoint.state().tags if tag.startswith("saferollout.")]


def test_kept_deployment_is_a_quick_way_back(stack: Stack, endpoint: Endpoint) -> None:
    """With a keep window the old deployment stays at 0%; a rollback needs seconds, and the next rollout is free."""
    config = endpoint.config(stages=endpoint.stages(approval=False)[1:], retire={"keep_s": 3600})
    outcome = json.loads(stack.cli("run", str(config), "--json"))
    assert outcome["traffic"] == {"green": 100}
    assert set(outcome["instance_counts"]) == {"blue", "green"}
    assert "keeps blue until" in json.loads(stack.cli("retire", endpoint.name, "--json"))["done"]

    stack.cli("rollback", endpoint.name)

    assert endpoint.state().traffic == {"blue": 100}
    assert endpoint.state().deployments["blue"].instance_count == 1
    assert own_tags(endpoint) == []


def promote(endpoint: Endpoint) -> Path:
    """Let the plain core roll the candidate out, without the gates and without Prefect; return the config.

    What follows a rollout depends on what that left in Azure alone.
    """
    config = endpoint.config(stages=endpoint.stages(approval=False)[1:], retire={"keep_s": 3600})
    azure, owner = endpoint.workspace(), Owner.here("a run that is over", in_process=False)
    rollout = begin(azure, load(config), owner, gone=None, begun_before=False)
    assert rollout is not None
    scale_live(azure, rollout)
    create_candidate(azure, rollout)
    scale_candidate(azure, rollout, 100)
    shift_traffic(azure, rollout, 100, None)
    end(azure, rollout, 3600)
    assert set(endpoint.state().deployments) == {"blue", "green"}
    return config


@RETIREMENT
def test_next_run_finishes_a_retirement_that_is_due(stack: Stack, endpoint: Endpoint) -> None:
    """Where the keep window ended, or a run was killed before its deletion, the same command removes what was left."""
    config = promote(endpoint)
    record = Record.from_tags(endpoint.state().tags)
    assert record is not None
    due = record.model_copy(update={"keep_until": now().replace(microsecond=0)}).to_tags()
    endpoint.workspace().update_endpoint(endpoint.name, tags=lambda tags: tags | due)

    assert "nothing to do" in stack.cli("run", str(config), "--json")

    assert list(endpoint.state().deployments) == ["green"]
    assert own_tags(endpoint) == []


@RETIREMENT
def test_retire_deletes_what_was_kept(stack: Stack, endpoint: Endpoint) -> None:
    """`retire --now` deletes the old deployment and its record, killed half-way or not; then there is nothing to do."""
    promote(endpoint)
    with started(stack.command("retire", endpoint.name, "--now"), stack.env):  # and killed
        wait_for("the retirement", lambda: phase_of(endpoint) is not Phase.KEEPING or None)

    stack.cli("retire", code=None)  # every endpoint's: those of other tests may be in the midst of a change

    assert list(endpoint.state().deployments) == ["green"]
    assert own_tags(endpoint) == []
    assert "keeps nothing" in stack.cli("retire", endpoint.name, "--now")


def test_cancelled_run_goes_back_and_deletes_its_candidate(stack: Stack, endpoint: Endpoint) -> None:
    """Cancelled in Prefect while it judges at 10%, the rollout is rolled back, the candidate deleted as configured."""
    stages = endpoint.stages(approval=False)
    stages[0]["judge"] = stages[0]["judge"] | {"min_duration_s": 50}
    run = endpoint.submit(endpoint.config(stages=stages, rollback={"candidate": "delete"}))
    wait_for("10%", lambda: endpoint.state().traffic == {"blue": 90, "green": 10} or None)

    stack.api("POST", f"/flow_runs/{run}/set_state", json={"state": {"type": "CANCELLING", "name": "Cancelling"}})

    stack.until(run, "Cancelled")
    wait_for("the baseline", lambda: own_tags(endpoint) == [] or None)
    state = endpoint.state()
    assert state.traffic == {"blue": 100}
    assert list(state.deployments) == ["blue"]
    assert state.deployments["blue"].instance_count == 1


def test_bootstrap_and_teardown(stack: Stack, endpoint: Endpoint) -> None:
    """Bootstrap makes an endpoint that serves, and changes nothing a second time; teardown wants its name twice."""
    endpoint.delete()
    command = ["bootstrap", str(endpoint.config()), "--deployment", str(endpoint.deployment("blue-deployment.yml"))]
    stack.cli(*command)
    before = endpoint.state()
    assert before.traffic == {"blue": 100}
    assert before.deployments["blue"].model == "diabetes:1"

    stack.cli(*command)
    assert endpoint.state() == before

    assert "repeat the endpoint's name" in stack.cli("teardown", endpoint.name, "--confirm", "another", code=2)
    assert endpoint.state() == before
    stack.cli("teardown", endpoint.name, "--confirm", endpoint.name)
    assert endpoint.workspace().observe(endpoint.name) is None
    output = stack.cli("rollback", endpoint.name, code=1)
    assert f"error: endpoint {endpoint.name} does not exist" in output
    assert "Traceback" not in output


def test_every_flow_is_deployed_and_the_schedule_waits(stack: Stack) -> None:
    """All flows but teardown are on the server; the rollout's schedule is paused, the retirement's is not.

    No limit queues one endpoint's rollout behind another's: the record in its tags is the lock.
    """
    found = stack.api("POST", "/deployments/filter", json={})
    deployed = {deployment["name"]: deployment for deployment in found if "saferollout" in deployment["tags"]}

    assert set(deployed) == {"rollout", "bootstrap", "rollback", "control", "guard", "retire", "watch-models"}
    assert [schedule["active"] for schedule in deployed["rollout"]["schedules"]] == [False]
    assert [schedule["active"] for schedule in deployed["retire"]["schedules"]] == [True]
    assert deployed["rollout"]["global_concurrency_limit"] is None


def test_drift_is_asked_about_and_the_run_is_retried_paused_and_promoted(stack: Stack, endpoint: Endpoint) -> None:
    """Traffic that somebody else set while the rollout waited stays if a person says so, and no other flow touches it.

    Put right by hand, the run is retried, asks nothing that was answered, waits while it is paused, and skips the judge
    that a person lets be skipped, which the report says.
    """
    run = endpoint.submit(endpoint.config(stages=endpoint.stages(approval_at=100), retire={"keep_s": 3600}))
    stack.until(run, "Suspended")
    endpoint.workspace().update_endpoint(endpoint.name, traffic={"blue": 50, "green": 50})
    stack.cli("approve", run, "--by", "Ada")
    stack.until(run, "Scheduled", "Pending", "Running", "Resuming")
    stack.until(run, "Suspended")
    words = f"the traffic of {endpoint.name} is blue=50 green=50, but the rollout left it at blue=90 green=10"
    assert stack.question(run).startswith(f"### {words}: somebody else changed it. Put it back to blue=90 green=10 and")
    stack.cli("reject", run, "--by", "Bo")
    message = stack.until(run, "Failed")["state"]["message"]
    assert "left as it is, Bo said so" in message
    assert f"`saferollout rollback --force {endpoint.name}`" in message
    wait_for("the end of the guard", lambda: guarded(stack, run))
    assert endpoint.state().traffic == {"blue": 50, "green": 50}

    endpoint.workspace().update_endpoint(endpoint.name, traffic={"blue": 90, "green": 10})
    assert "is scheduled again" in stack.cli("retry", endpoint.name, "--by", "Bo")
    stack.cli("pause", endpoint.name)
    stack.until(run, "Suspended")
    assert endpoint.state().traffic == {"blue": 90, "green": 10}
    stack.cli("promote", endpoint.name, "--comment", "seen enough", code=2)
    stack.cli("promote", endpoint.name, "--skip-judge", "--comment", "seen enough", "--by", "Bo")
    stack.cli("continue", endpoint.name)
    stack.until(run, "Completed")

    state = endpoint.state()
    assert state.traffic == {"green": 100}
    record = Record.from_tags(state.tags)
    assert record is not None
    assert {share: skip.comment for share, skip in record.skips.items()} == {100: "seen enough"}
    report = stack.artifacts(run)[f"{endpoint.name}-report"]["data"]
    assert "judge at 10%: healthy" in report
    assert "judge at 100%: skipped** — skipped by Bo at " in report
    assert "| 100% | skip judge | Bo |" in report
    assert "there is nothing to pause" in stack.cli("pause", endpoint.name, code=1)


def guarded(stack: Stack, run: str) -> bool | None:
    """Whether the guard that the run's end has called has ended well."""
    wanted = {"deployments": {"name": {"any_": ["guard"]}}, "flow_runs": {"state": {"name": {"any_": ["Completed"]}}}}
    found = stack.api("POST", "/flow_runs/filter", json=wanted)
    return any(guard["parameters"].get("flow_run") == run for guard in found) or None
