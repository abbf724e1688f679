"""The real azure-cli, with nothing but the variables."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uv

from localazure.testing import LocalAzure
from tests.support.documents import commands
from tests.support.localazure.arm import API_VERSION, Arm, Assets, wait_for
from tests.support.localazure.sdk import SUPPORT

VERSION = "2.91.0"
Az = Callable[..., Any]


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its programs: it has pins of its own, and needs an environment of its own. Seconds, for uv."""
    home = tmp_path_factory.mktemp("azure-cli")
    subprocess.run([uv.find_uv_bin(), "venv", "--quiet", home], check=True)
    python = str(home / "bin/python")
    subprocess.run(
        [uv.find_uv_bin(), "pip", "install", "--quiet", "--python", python, f"azure-cli=={VERSION}"], check=True
    )
    return home / "bin"


@pytest.fixture
def az(cli: Path, azure: LocalAzure) -> Iterator[Az]:
    """Run a command as `az` does; what it prints, in JSON. One process for all, for each takes seconds to start."""
    environ = {**_shell(azure), "PYTHONPATH": ""}
    argv = [cli / "python", SUPPORT / "azure_cli.py"]
    with subprocess.Popen(argv, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin
        assert stdout

        def run(*arguments: str) -> Any:
            print(json.dumps(arguments), file=stdin, flush=True)
            code, printed = json.loads(stdout.readline())
            assert code == 0, (arguments, printed)
            return json.loads(printed) if printed.strip() else None

        yield run
        stdin.close()


def _shell(azure: LocalAzure) -> dict[str, str]:
    """A shell with the variables. What azure-cli tells Microsoft is no part of the test."""
    return {**os.environ, **azure.environ, "AZURE_CORE_COLLECT_TELEMETRY": "no"}


def test_az_login_with_a_service_principal(cli: Path, azure: LocalAzure, tmp_path: Path) -> None:
    """As documented, and what people type next; the user's own azure-cli keeps its logins and its cloud."""
    environ = {**_shell(azure), "HOME": str(tmp_path), "PATH": f"{cli}:{os.environ['PATH']}"}

    def run(line: str) -> str:
        return subprocess.run(["bash", "-c", line], env=environ, stdout=subprocess.PIPE, text=True, check=True).stdout

    login, resources = (it.text for it in commands("docs/local-azure.md", "Start it") if it.text.startswith("az "))
    (subscription,) = json.loads(run(login))
    assert subscription["id"] == environ["AZURE_SUBSCRIPTION_ID"]
    assert json.loads(run("az account show"))["tenantId"] == environ["AZURE_TENANT_ID"]
    run(resources)
    assert list(tmp_path.iterdir()) == []


def test_the_walk_by_azure_cli(az: Az, arm: Arm, assets: Assets) -> None:
    """From the login to the deletion of the endpoint, by `az rest` where `az ml` is an extension."""
    environ = arm.environ
    who = (
        "-u",
        environ["AZURE_CLIENT_ID"],
        "-p",
        environ["AZURE_CLIENT_SECRET"],
        "--tenant",
        environ["AZURE_TENANT_ID"],
    )
    az("login", "--service-principal", *who)
    assert az("account", "show")["name"] == "Local Azure"
    assert az("group", "show", "-n", "local")["id"] in arm.workspace
    assert [group["name"] for group in az("group", "list")] == ["local"]
    assert az("group", "exists", "-n", "other") is False
    assert [place["name"] for place in az("account", "list-locations")] == ["local"]
    workspace_type = "Microsoft.MachineLearningServices/workspaces"
    for where in ((), ("-g", "local"), ("-g", "local", "--resource-type", workspace_type)):
        assert [found["id"] for found in az("resource", "list", *where)] == [arm.workspace]
    assert az("resource", "list", "--resource-type", "Microsoft.Storage/storageAccounts") == []
    assert az("resource", "show", "--ids", arm.workspace)["name"] == "local"

    endpoint = f"{arm.workspace}/onlineEndpoints/by-cli"

    def rest(method: str, url: str, body: Any = None) -> Any:
        given = ("--body", json.dumps(body)) if body is not None else ()
        return az("rest", "--method", method, "--url", f"{url}?api-version={API_VERSION}", *given)

    def settled(url: str) -> Any:
        return wait_for(lambda: rest("get", url), lambda seen: seen["properties"]["provisioningState"] == "Succeeded")

    def set_traffic(**traffic: int) -> None:
        rest("put", endpoint, {"location": "local", "properties": {"authMode": "Key", "traffic": traffic}})
        assert settled(endpoint)["properties"]["traffic"] == traffic

    set_traffic()
    for name, model in (("blue", 1), ("green", 2)):
        rest("put", f"{endpoint}/deployments/{name}", arm.deployment(assets, model=model))
        assert settled(f"{endpoint}/deployments/{name}")["sku"]["capacity"] == 1
        if name == "blue":
            set_traffic(blue=100)
    assert arm.score("by-cli", {"x": 1}, "green").json()["y"] == 3
    set_traffic(blue=90, green=10)
    set_traffic(blue=0, green=100)
    assert arm.score("by-cli", {"x": 1}).json()["y"] == 3
    what = ("--resource", endpoint, "--metric", "RequestsPerMinute", "--interval", "PT1M", "--aggregation", "Total")
    (metric,) = az("monitor", "metrics", "list", *what)["value"]
    assert sum(point.get("total") or 0 for point in metric["timeseries"][0]["data"]) == 2
    rest("delete", endpoint)
    wait_for(lambda: rest("get", f"{arm.workspace}/onlineEndpoints")["value"], lambda found: endpoint not in str(found))
