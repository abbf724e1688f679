"""Starting a rollout without a person: a retraining pipeline registers a model and emits an event."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from azure.ai.ml import MLClient
from azure.ai.ml.entities import Model
from azure.identity import EnvironmentCredential

from saferollout.config.project import resolve_workspace
from tests.support.models import write_model
from tests.support.stack import Endpoint, Stack, wait_for


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


def test_event_starts_a_rollout_of_a_registered_model(stack: Stack, endpoint: Endpoint) -> None:
    """The event `saferollout.requested` with a config and a model starts the deployed rollout with that model."""
    register(endpoint, "6")
    register(endpoint, "7")
    config = endpoint.config(stages=endpoint.stages(approval=False))
    payload = {"config": str(config), "model": {"name": endpoint.name, "version": "latest"}}
    request(stack, payload)

    def look() -> str | None:
        runs = stack.api("POST", "/flow_runs/filter", json={"flow_runs": {"name": {"like_": f"{endpoint.name}:7"}}})
        return runs[0]["id"] if runs else None

    run = wait_for("a rollout of the new model", look)
    stack.until(run, "Completed")
    state = endpoint.state()
    assert state.traffic == {"green": 100}
    assert state.deployments["green"].model == f"{endpoint.name}:7"


def test_event_without_a_model_rolls_out_the_configs(stack: Stack, tmp_path: Path) -> None:
    """The model is optional; a config that is not there is reported in the run, and Azure was not called."""
    config = tmp_path / "nowhere.yaml"
    request(stack, {"config": str(config)})

    def look() -> str | None:
        runs = stack.api("POST", "/flow_runs/filter", json={"sort": "EXPECTED_START_TIME_DESC", "limit": 50})
        return next((run["id"] for run in runs if run["parameters"].get("config") == str(config)), None)

    shown = stack.until(wait_for("the run", look), "Failed")
    assert shown["parameters"]["model"] is None
    assert f"{config}: no such file; check the path" in shown["state"]["message"]
