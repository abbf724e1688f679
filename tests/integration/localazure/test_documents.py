"""The blocks of docs/local-azure.md, as somebody copies them."""

import subprocess
import sys
from pathlib import Path

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import ManagedOnlineEndpoint

from localazure.testing import LocalAzure
from tests.support.documents import commands, run_in_shell, texts


def run_python(block: str) -> str:
    """Run a block as a program of its own, in this environment; return what it prints."""
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_fresh_shell_starts_it_and_uses_it(tmp_path: Path) -> None:
    """The environment activated, local Azure is started in the background and a program finds no endpoint in it."""
    activate, *_ = (found for found in commands("README.md", "Safe Rollout") if found.text.startswith("source"))
    start = [found for found in commands("docs/local-azure.md", "Start it") if not found.text.startswith("az ")]
    output = run_in_shell([activate, *start], tmp_path, instead={})
    assert output.splitlines()[-1] == "[]"


def test_tests_start_one_of_their_own(azure: LocalAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block for tests starts a local Azure and a program that sees its workspace."""
    monkeypatch.delenv("AZUREML_WORKSPACE_NAME")
    (block,) = texts("docs/local-azure.md", "Start it", "python")
    assert run_python(block).strip() == azure.environ["AZUREML_WORKSPACE_NAME"]


def test_faults_strike_as_written() -> None:
    """The SDK gets over the answers, and the deletion that hangs ends with the fault."""
    (block,) = texts("docs/local-azure.md", "Faults", "python")
    run_python(block)


def test_metrics_and_logs_are_queried_as_written(client: MLClient) -> None:
    """Each of the three clients gets an answer for an endpoint."""
    client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name="diabetes")).result()
    (block,) = texts("docs/local-azure.md", "Metrics and logs", "python")
    run_python(block)
    client.online_endpoints.begin_delete("diabetes").result()
