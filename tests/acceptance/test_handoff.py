"""Starting a rollout without a person: a retraining pipeline registers a model and emits an event."""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from azure.ai.ml import MLClient
from azure.ai.ml.entities import Model
from azure.identity import EnvironmentCredential

from saferollout.config.project import resolve_workspace
from tests.support.models import write_model
from tests.support.stack import Endpoint, Stack, phase_of, wait_for


def register(endpoint: Endpoint, version: str) -> None:
    """Register a model under the endpoint's name, as a retraining pipeline does."""
    workspace = resolve_workspace(None)
    credential = EnvironmentCredential(disable_instance_discovery=True)
    client = MLClient(credential, workspace.subscription_id, workspace.resource_group, workspace.name)
    path = write_model("v2", endpoint.directory)
    client.models.create_or_update(Model(name=endpoint.name, version=version, path=path))


def request(stack: Stack, payload: Mapping[str, object]) -> None:
    """Emit the event that starts a rollout."""
    event = {
        "occurred": datetime.now(UTC).isoformat(),
        "event": "saferollout.requested",
        "resource": {"prefect.resource.id": "saferollout.handoff"},
        "payload": payload,
        "id": str(uuid.uuid4()),
    }
    assert stack.post_events([event]) == 204


def runs_for(stack: Stack, part: str) -> list[str]:
    """The runs of the deployed rollout for an event with this in it, the last one first."""
    of_rollout = {"deployments": {"name": {"any_": ["rollout"]}}, "sort": "EXPECTED_START_TIME_DESC"}
    runs = stack.api("POST", "/flow_runs/filter", json=of_rollout)
    return [run["id"] for run in runs if part in run["parameters"].get("event", "")]


def test_event_starts_a_rollout_of_a_registered_model(stack: Stack, endpoint: Endpoint) -> None:
    """The event `saferollout.requested` starts the deployed rollout with its model; again, it starts nothing.

    Neither while the rollout is under way nor later: the runs end well, and name the one that did it.
    """
    register(endpoint, "6")
    register(endpoint, "7")
    config = endpoint.config(stages=endpoint.stages(approval=False)[1:])
    payload = {"config": str(config), "model": f"azureml:{endpoint.name}@latest", "request_id": endpoint.name}
    for _ in range(2):
        request(stack, payload)

    def look() -> str | None:
        # as it is named once it has begun
        runs = stack.api("POST", "/flow_runs/filter", json={"flow_runs": {"name": {"like_": f"{endpoint.name}:7"}}})
        return runs[0]["id"] if runs else None

    run = wait_for("a rollout of the new model", look)
    waited = json.loads(stack.cli("wait", run, "--json"))
    assert (waited["outcome"], waited["reason"]) == ("promoted", "green passed every gate and has all traffic")
    assert waited["report"].startswith(f"# ✅ Promoted: {endpoint.name}")
    assert "## judge" not in waited["report"].splitlines()[-1]
    state = endpoint.state()
    assert state.traffic == {"green": 100}
    assert state.deployments["green"].model == f"{endpoint.name}:7"

    request(stack, payload)

    def others() -> list[str] | None:
        found = runs_for(stack, endpoint.name)
        return [each for each in found if each != run] if len(found) == 3 else None

    for other in wait_for("a run for each event", others):
        assert f"already requested by run {run}" in stack.until(other, "Completed")["state"]["message"]
    assert endpoint.state() == state


def test_a_newer_version_supersedes_an_older_one(stack: Stack, endpoint: Endpoint) -> None:
    """Where the config says so: the older one, which waits for its approval, is rolled back and its run cancelled.

    A suspended run that a person cancels takes no answer either, and goes back.
    """
    register(endpoint, "6")
    register(endpoint, "7")
    config = endpoint.config(when_busy="supersede", stages=endpoint.stages(approval=True))
    older = endpoint.submit(config, "6")
    stack.until(older, "Suspended")

    newer = endpoint.submit(config, "7")

    assert "superseded by run" in stack.until(older, "Cancelled")["state"]["message"]
    stack.until(newer, "Suspended")
    assert endpoint.state().deployments["green"].model == f"{endpoint.name}:7"
    late = stack.until(endpoint.submit(config, "6"), "Failed")
    assert f"flow run {newer}" in late["state"]["message"]

    stack.api("POST", f"/flow_runs/{newer}/set_state", json={"state": {"type": "CANCELLING"}, "force": True})
    stack.until(newer, "Cancelled")
    wait_for("the end of the rollback", lambda: phase_of(endpoint) is None or None)
    state = endpoint.state()
    assert (state.traffic, state.deployments["blue"].instance_count) == ({"blue": 100}, 1)
    assert "does not wait for an approval" in stack.cli("approve", newer, code=1)


def test_an_event_that_does_not_fit_is_seen_as_a_failed_run(stack: Stack, tmp_path: Path) -> None:
    """Whatever an event holds, its run says what is wrong with it, and no file elsewhere on the worker is read."""
    config, secret, mark = tmp_path / "nowhere.yaml", "/etc/passwd", uuid.uuid4().hex
    expected = {
        str(config): f"{config}: no such file; check the path",
        secret: f"run: config: '{secret}' does not lie in",
        mark: f"event: model.name: 'a/{mark}' does not fit; write letters",
    }
    request(stack, {"config": str(config)})
    request(stack, {"config": secret, "model": {"name": "m", "version": 2}})
    request(stack, {"config": ["{{ 7 }}"], "model": {"name": f"a/{mark}", "version": 2.5}, "<modle>": None})

    for part, message in expected.items():

        def look(part: str = part) -> str | None:
            return next(iter(runs_for(stack, part)), None)

        shown = stack.until(wait_for(f"the run with {part}", look), "Failed")
        assert message in shown["state"]["message"]
        assert "root:" not in shown["state"]["message"]
        waited = json.loads(stack.cli("wait", shown["id"], "--json", code=2).splitlines()[0])
        assert waited["outcome"] == "invalid"
        assert message in waited["reason"]
    assert "event: config: ['{{ 7 }}'] does not fit" in shown["state"]["message"]
    assert "<modle>: unknown key" in shown["state"]["message"]
