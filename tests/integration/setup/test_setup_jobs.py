"""`saferollout setup --job`: each run is a Kubernetes Job, on a real Prefect server and by Prefect's own worker."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.kubernetes import MANIFEST, install_worker, make_jobs, pod
from tests.support.setting_up import LATER, PLAIN, deployment, found, request, setup, setup_fails
from tests.support.stack import Stack

pytestmark = pytest.mark.xdist_group("setup")  # one server


@pytest.fixture
def no_pool(stack: Stack) -> Iterator[None]:
    """The server has no work pool, before and after."""
    request(stack, "DELETE", "/work_pools/rollouts")
    yield
    request(stack, "DELETE", "/work_pools/rollouts")


@pytest.mark.usefixtures("no_pool")
def test_each_run_is_a_job_of_the_manifest_and_nothing_else(stack: Stack, tmp_path: Path) -> None:
    """Setup locks the pool and mends it; Prefect's own worker makes the same good Job of it, whatever a run brings."""
    options = ["--job", str(MANIFEST)]
    assert "is 'folder'" in setup_fails(stack, *options, "--pull", "folder")
    assert "work pool rollouts is missing" in found(setup(stack, *options))
    assert setup(stack, *options, "--check")["outcome"] == "complete"
    assert deployment(stack, "rollout")["pull_steps"] == []
    said = setup(stack, code=1)["reason"]
    assert "is of type kubernetes and must be of type process" in said
    assert "give --job its manifest" in said

    template = stack.api("GET", "/work_pools/rollouts")["base_job_template"]
    opened = template | {"variables": PLAIN["variables"]}
    assert request(stack, "PATCH", "/work_pools/rollouts", {"base_job_template": opened}) < 300
    listed = ["work pool rollouts has another job template: it is not what job.yaml makes it"]
    assert found(setup(stack, *options, "--check", code=1)) == listed
    assert found(setup(stack, *options)) == listed
    assert stack.api("GET", "/work_pools/rollouts")["base_job_template"] == template

    rollout = deployment(stack, "rollout")["id"]
    mine = {
        "command": "touch mine",
        "image": "mine",
        "namespace": "kube-system",
        "env": {"PYTHONPATH": "mine"},
        "env.PYTHONPATH": "mine",
        "job_manifest": {"spec": {}},
        "cluster_config": {"config": {}, "context_name": "mine"},
    }
    for name, value in mine.items():
        body = LATER | {"job_variables": {name: value}}
        assert request(stack, "POST", f"/deployments/{rollout}/create_flow_run", body) == 422
    body = {"parameters": {"config": "nothing.yaml"}}
    run = stack.api("POST", f"/deployments/{rollout}/create_flow_run", json=body)["id"]
    made, other = make_jobs(stack, install_worker(tmp_path / "worker"), template, run, {}, mine)
    assert other == made  # the server does not look at what a run without a deployment brings along

    with pod(tmp_path / "pod", made["manifest"], stack.env_of_its_own) as started_here:
        assert "nothing.yaml" in stack.until(run, "Failed")["state"]["message"]
        assert started_here.wait(60) == 0  # the flow has come to its end: nothing is left to Kubernetes

    job, written = made["manifest"], yaml.safe_load(MANIFEST.read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    env = {variable["name"]: variable["value"] for variable in container.pop("env")}
    assert env["PREFECT__FLOW_RUN_ID"] == run
    assert env["PREFECT_API_URL"] == stack.env["PREFECT_API_URL"]
    assert env["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
    assert env["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] == "reschedule"
    assert made["namespace"] == job["metadata"]["namespace"] == written["metadata"]["namespace"]
    del job["spec"]["template"]["metadata"], written["spec"]["template"]["metadata"]
    assert job["spec"] == written["spec"]
