"""A run keeps all that it began with: its files may change, and labels move, while it waits for a person."""

import shutil

import yaml
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Environment

from saferollout.azure_access import credential
from saferollout.project import load, resolve_workspace
from tests.acceptance.test_handoff import register
from tests.stack import DIABETES, Endpoint, Stack


def test_a_waiting_run_goes_on_with_what_it_began_with(stack: Stack, endpoint: Endpoint) -> None:
    """Newer versions under its labels and no file of requests any more: the same candidate, judged by the same."""
    workspace = resolve_workspace(None)
    client = MLClient(credential(), workspace.subscription_id, workspace.resource_group, workspace.name)

    def release(version: str) -> None:
        register(endpoint.name, version)
        conda = DIABETES / "conda.yml"
        client.environments.create_or_update(
            Environment(name=endpoint.name, version=version, image="local/none", conda_file=conda)
        )

    release("6")
    config = endpoint.config(stages=endpoint.stages(approval_at=100))
    requests = shutil.copy(DIABETES / "requests.jsonl", endpoint.directory / "kept.jsonl")
    content = yaml.safe_load(config.read_text())
    content["smoke_test"]["requests"] = "kept.jsonl"
    config.write_text(yaml.safe_dump(content))
    deployment = endpoint.directory / "green-deployment.yml"
    labels = dict.fromkeys(("model", "environment"), f"azureml:{endpoint.name}@latest")
    deployment.write_text(yaml.safe_dump(yaml.safe_load(deployment.read_text()) | labels))
    summary = load(config).recorded.summary()

    run = endpoint.submit(config)
    stack.until(run, "Suspended")
    question = stack.question(run)
    release("7")
    requests.unlink()
    stack.cli("approve", run)
    stack.until(run, "Completed")

    assert f"Recorded requests, the same for every gate: {summary}" in question
    state = endpoint.state()
    assert state.traffic == {"green": 100}
    green = state.deployments["green"]
    assert (green.model, green.environment) == (f"{endpoint.name}:6", f"{endpoint.name}:6")
    assert f" ← {endpoint.name}:6" in stack.run(run)["name"]
