"""`localazure up` and `localazure env`, as a shell meets them."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from localazure.core.certificates import trusting_only
from localazure.testing import LocalAzure, NotReady
from tests.support.localazure.arm import Arm
from tests.support.localazure.sdk import register

VARIABLES = [
    "ARM_CLOUD_METADATA_URL",
    "REGISTRY_DISCOVERY_ENDPOINT_URL",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "AZURE_AUTHORITY_HOST",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "AZURE_TOKEN_CREDENTIALS",
    "AZURE_SUBSCRIPTION_ID",
    "AZURE_RESOURCE_GROUP",
    "AZUREML_WORKSPACE_NAME",
    "AZURE_MONITOR_ENDPOINT",
    "AZURE_LOG_ANALYTICS_WORKSPACE_ID",
    "LOCALAZURE_ADMIN_URL",
    "LOCALAZURE_ADMIN_TOKEN",
    "AZURE_CORE_INSTANCE_DISCOVERY",
    "AZURE_CONFIG_DIR",
    "AZURE_EXTENSION_DIR",
    "NO_PROXY",
    "no_proxy",
]


def localazure(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "localazure", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_env_prints_the_variables_of_a_running_local_azure(azure: LocalAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    """As export lines for a shell, or as one JSON object on one line; no proxy stands before it."""
    as_json = localazure("env", "--json", "--state-dir", azure.state_dir)
    assert as_json.returncode == 0
    assert len(as_json.stdout.splitlines()) == 1
    assert trusting_only(json.loads(as_json.stdout)) == azure.environ
    assert list(azure.environ) == VARIABLES
    exports = localazure("env", "--state-dir", azure.state_dir)
    shell = subprocess.run(
        ["bash", "-c", f"{exports.stdout}\nenv"], capture_output=True, text=True, env={}, check=True
    ).stdout
    seen = dict(line.split("=", 1) for line in shell.splitlines() if "=" in line)
    assert trusting_only({name: seen[name] for name in VARIABLES}) == azure.environ
    assert "127.0.0.1" in azure.environ["NO_PROXY"].split(",")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "corp.example")
    told = json.loads(localazure("env", "--json", "--state-dir", azure.state_dir).stdout)
    assert (told["NO_PROXY"], told["no_proxy"]) == ("corp.example,127.0.0.1",) * 2


def test_env_says_how_to_start_one_when_none_runs(tmp_path: Path) -> None:
    """No traceback, nothing on stdout, exit code 1."""
    result = localazure("env", "--state-dir", tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    assert f"localazure up --state-dir {tmp_path}" in result.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--port", "70000"], "--port"),
        (["--prot", "1"], "--prot"),
        (["--state-dir", __file__], "--state-dir"),
        (["--host", "0.0.0.0"], "by which others reach this machine"),  # noqa: S104 - it is refused
    ],
)
def test_a_bad_option_exits_2_and_is_named(options: list[str], told: str) -> None:
    """Nothing is started."""
    result = localazure("up", *options)
    assert result.returncode == 2
    assert result.stdout == ""
    assert told in result.stderr


def test_a_second_local_azure_on_the_same_state_is_refused(azure: LocalAzure) -> None:
    """Two would overwrite each other's state."""
    result = localazure("up", "--state-dir", azure.state_dir)
    assert result.returncode == 1
    assert "another local Azure runs" in result.stderr


def test_a_port_that_is_taken_is_reported(azure: LocalAzure, tmp_path: Path) -> None:
    """With the port, and what to do; the context manager passes on the reason."""
    port = azure.environ["AZURE_AUTHORITY_HOST"].rpartition(":")[2]
    with pytest.raises(NotReady, match=f"port {port} cannot be used"), LocalAzure(tmp_path, "--port", port):
        pass


def test_an_address_of_another_machine_is_reported(tmp_path: Path) -> None:
    """Nothing can listen there."""
    with (
        pytest.raises(NotReady, match=r"198\.51\.100\.1 is not this machine's address"),
        LocalAzure(tmp_path, "--host", "198.51.100.1"),
    ):
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_survives(number: int, tmp_path: Path) -> None:
    """Envoy, the inference servers and their workers end with it, however it ends."""
    with LocalAzure(tmp_path / "state") as azure:
        with Arm(azure.environ) as arm:
            deploy(azure, arm)
        leash = psutil.Process(azure.pid)
        (server,) = leash.children()
        family = [leash, *leash.children(recursive=True)]
        commands = " ".join(" ".join(process.cmdline()) for process in family)
        assert "envoy" in commands
        assert "scoring_server.py" in commands
        server.send_signal(number)
        _, alive = psutil.wait_procs(family, timeout=30)
        assert alive == []


def test_ctrl_c_ends_it_without_a_traceback(tmp_path: Path) -> None:
    """SIGINT is a way to stop it like SIGTERM: exit code 0, and the variables are gone."""
    with LocalAzure(tmp_path) as azure:
        leash = psutil.Process(azure.pid)
        (server,) = leash.children()
        server.send_signal(signal.SIGINT)
        assert leash.wait(30) in (0, None)  # None: the context manager's own handle collects the code
        assert (tmp_path / "stderr.log").read_text() == ""
    assert localazure("env", "--state-dir", tmp_path).returncode == 1


def deploy(azure: LocalAzure, arm: Arm) -> None:
    """A running deployment."""
    arm.endpoint("scale")
    arm.deploy("scale", "blue", register(azure.environ))
    assert arm.score("scale", {"x": 1}, "blue").status_code == 200
