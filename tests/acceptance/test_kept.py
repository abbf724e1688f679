"""A run keeps all that it began with: its files may change, and labels move, while it waits for a person."""

import json
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


def connect() -> MLClient:
    """Azure's own client."""
    workspace = resolve_workspace(None)
    return MLClient(credential(), workspace.subscription_id, workspace.resource_group, workspace.name)


def change_variables(endpoint: Endpoint) -> None:
    """Change the candidate in place, behind the rollout's back."""
    deployments = connect().online_deployments
    green = deployments.get("green", endpoint.name)
    green.environment_variables = {"LIMIT": "s3cret"}
    deployments.begin_create_or_update(green).result()


def test_a_waiting_run_goes_on_with_what_it_began_with(stack: Stack, endpoint: Endpoint) -> None:
    """Newer versions under its labels, another config and other files: the same candidate, judged by the same.

    Its variables are changed behind its back while it waits at 10%: the answer is refused, users get live back, and the
    candidate passes all gates again, the first of which asks although the config does not. Approved anew, it has 100%.
    """
    client = connect()

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
    assert endpoint.state().traffic == {"blue": 90, "green": 10}
    change_variables(endpoint)
    looked = json.loads(stack.cli("guard", endpoint.name, "--json"))["done"][endpoint.name]
    assert "; deployment green is no longer what was tested: somebody else changed it (settings " in looked
    assert "harmful" not in looked
    for share, traffic in ((10, {"blue": 100}), (100, {"blue": 90, "green": 10})):
        stack.cli("approve", run, "--by", "Ada")
        stack.until(run, "Scheduled", "Pending", "Running", "Resuming")
        stack.until(run, "Suspended")
        assert endpoint.state().traffic == traffic
        asked = stack.question(run)
        assert asked.startswith(f"### Give green {share}% of the traffic of {endpoint.name}?")
        assert "⚠️ Somebody else changed green: settings " in asked
        assert "s3cret" not in asked
        assert ("judge at 10%: healthy" in asked) is (share == 100)
    stack.cli("approve", run, "--by", "Ada")
    stack.until(run, "Completed")
    told = stack.cli("history", endpoint.name)
    assert [told.count(word) for word in ("refused", "**changed**", "changed: ", "promoted")] == [1, 0, 1, 1], told
    steps = {
        step["name"] for step in stack.api("POST", "/task_runs/filter", json={"flow_runs": {"id": {"any_": [run]}}})
    }
    assert {"smoke test green", "smoke test green after change 1", "judge green at 10% after change 1"} <= steps

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
