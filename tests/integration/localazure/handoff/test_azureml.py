"""The last step of an Azure ML pipeline job: its component, and its script with the job's managed identity."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import load_component, load_job

from localazure.testing import LocalAzure
from saferollout.config.request import read_event
from tests.support.gateway import AUDIENCE, gateway
from tests.support.handoff import runs
from tests.support.prefect import Server
from tests.support.stack import REPOSITORY, wait_for

pytestmark = pytest.mark.xdist_group("handoff")  # one server

FOLDER = REPOSITORY / "integrations" / "azureml"


def command(**inputs: str) -> str:
    """The component's command as Azure ML makes it: optional parts without their input are left out."""
    text = re.sub(r"\$\[\[(.*?)\]\]", lambda part: part[1] if _input(part[1]) in inputs else "", component().command)
    return re.sub(r"\$\{\{inputs\.(\w+)\}\}", lambda name: inputs[name[1]], text)


def _input(part: str) -> str:
    found = re.search(r"inputs\.(\w+)", part)
    assert found
    return found[1]


def component() -> Any:
    """The component as the SDK loads it."""
    return load_component(FOLDER / "hand_over.yml")


def run(azure: LocalAzure, text: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a job on Azure ML's compute does, where the compute has an identity."""
    job = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AZUREML_RUN_ID": "step-7",
        "DEFAULT_IDENTITY_CLIENT_ID": azure.environ["AZURE_CLIENT_ID"],
        "MSI_ENDPOINT": azure.environ["IDENTITY_ENDPOINT"],
        "MSI_SECRET": azure.environ["IDENTITY_HEADER"],
        "REQUESTS_CA_BUNDLE": azure.environ["REQUESTS_CA_BUNDLE"],
    }
    return subprocess.run(["bash", "-c", text], cwd=FOLDER, env=job | env, capture_output=True, text=True, check=False)


def test_the_component_and_the_pipeline_are_valid() -> None:
    """By the SDK's own check; the step runs with the managed identity, and gets what the step before has written."""
    pipeline: Any = load_job(FOLDER / "pipeline.yml")
    for loaded in (component(), pipeline):
        assert loaded._validate().passed  # noqa: SLF001  # what the SDK calls before it sends anything
    step = pipeline.jobs["hand_over"]
    assert step.identity.type == "managed_identity"
    assert step.component.command == component().command
    assert set(step.inputs) <= set(component().inputs)


def test_the_step_hands_over_what_was_registered(server: Server, azure: LocalAzure, tmp_path: Path) -> None:
    """The token is for the gateway, which lets events through alone; what passes is tried again."""
    (tmp_path / "model_registration_details.json").write_text(json.dumps({"name": "fraud", "version": 7, "type": "x"}))
    before = len(runs(server))
    with gateway(server.url, azure.environ) as before_it:
        before_it.failures = 1
        given = {"config": "fraud", "why": "new data", "registered": str(tmp_path)}
        done = run(azure, command(**given, prefect_api_url=before_it.url, audience=AUDIENCE))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "handed over: fraud:7, config fraud, request id step-7\n"

    (made,) = wait_for("the run", lambda: runs(server)[before:] or None)
    request = read_event(made["parameters"]["event"])
    assert (str(request.model), request.config, request.request_id) == ("azureml:fraud:7", "fraud", "step-7")
    assert (request.by, request.why) == ("Azure ML job step-7", "new data")


@pytest.mark.parametrize(
    ("changed", "env", "code", "reason"),
    [
        ({"audience": "api://another"}, {}, 1, "refuses the request, status 401: the gateway's reason"),
        ({}, {"MSI_SECRET": "wrong"}, 1, f"the job's managed identity gets no token for {AUDIENCE}"),
        ({}, {"PREFECT_API_AUTH_STRING": "a:b"}, 2, "only one of them can be sent"),
        ({"model": "fraud"}, {}, 2, "--model: 'fraud' is not a model version; write <name>:<version>"),
        ({"registered": "/nowhere"}, {}, 2, "--model, --registered: exactly one of them is needed"),
        ({"model": "", "registered": "/nowhere"}, {}, 2, "/nowhere: FileNotFoundError"),
        ({"prefect_api_url": ""}, {}, 2, "--prefect-api-url: not given; write https://<host>/api"),
    ],
)
def test_what_does_not_fit_is_refused(
    server: Server, azure: LocalAzure, changed: dict[str, str], env: dict[str, str], code: int, reason: str
) -> None:
    """The step fails, with one line that says why; no traceback, no token in it."""
    with gateway(server.url, azure.environ) as before_it:
        given = {"config": "fraud", "model": "fraud:7", "prefect_api_url": before_it.url, "audience": AUDIENCE}
        done = run(azure, command(**given | changed), **env)
    assert done.returncode == code, done.stderr
    assert reason in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
