"""A run keeps all that it began with: its files may change, and labels move, while it waits for a person."""

import re
import shutil
from pathlib import Path

import yaml
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Environment

from saferollout.azure.access import credential
from saferollout.config.project import load, resolve_workspace
from tests.acceptance.test_handoff import register
from tests.support.stack import DIABETES, Endpoint, Stack


def test_a_waiting_run_goes_on_with_what_it_began_with(stack: Stack, endpoint: Endpoint) -> None:
    """Newer versions under its labels, another config and other files: the same candidate, judged by the same."""
    workspace = resolve_workspace(None)
    client = MLClient(credential(), workspace.subscription_id, workspace.resource_group, workspace.name)

    def release(version: str) -> None:
        register(endpoint, version)
        conda = DIABETES / "conda.yml"
        client.environments.create_or_update(
            Environment(name=endpoint.name, version=version, image="local/none", conda_file=conda)
        )

    release("6")
    config = endpoint.config(stages=endpoint.stages(approval_at=100))
    requests = Path(shutil.copy(DIABETES / "requests.jsonl", endpoint.directory / "kept.jsonl"))
    schema = endpoint.directory / "schema.json"
    schema.write_text('{"type": "array"}')
    content = yaml.safe_load(config.read_text())
    content["smoke_test"] |= {"requests": "kept.jsonl", "answer_schema": "schema.json"}
    config.write_text(yaml.safe_dump(content))
    deployment = endpoint.directory / "green-deployment.yml"
    labels = dict.fromkeys(("model", "environment"), f"azureml:{endpoint.name}@latest")
    deployment.write_text(yaml.safe_dump(yaml.safe_load(deployment.read_text()) | labels))
    kept = " · ".join(f"{name} {value}" for name, value in load(config).inputs.items())

    run = endpoint.submit(config)
    stack.until(run, "Suspended")
    question = stack.question(run)
    release("7")
    requests.unlink()
    schema.write_text('{"type": "string"}')
    config.write_text("endpoint: nowhere.yml")
    stack.cli("approve", run)
    stack.until(run, "Completed")

    assert "recorded requests 142 (`" in kept
    assert f"The same for every gate of this run: {kept}" in question
    for asset in ("model", "environment"):
        assert re.search(rf"^\| {asset} \| .* \| {endpoint.name}:6 \|$", question, re.MULTILINE), question
    assert f"environment {endpoint.name}:6 · {kept}" in stack.artifacts(run)[f"{endpoint.name}-report"]["data"]
    state = endpoint.state()
    assert state.traffic == {"green": 100}
    green = state.deployments["green"]
    assert (green.model, green.environment) == (f"{endpoint.name}:6", f"{endpoint.name}:6")
    assert f" ← {endpoint.name}:6" in stack.run(run)["name"]
