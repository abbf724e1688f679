"""@azure/arm-machinelearning, unchanged: the official client for Node.js, with nothing but the variables."""

import json
import os
import subprocess
from dataclasses import asdict

import pytest

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Assets
from tests.support.localazure.sdk import SUPPORT
from tests.support.node import install


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of the walk."""
    program, walk = install(SUPPORT / "node", tmp_path_factory.mktemp("node"))
    return [program, str(walk / "walk.js")]


def test_the_walk_by_the_client_for_node(node: list[str], azure: LocalAzure, assets: Assets) -> None:
    """From the creation of the endpoint to its deletion, with assets that Python has registered."""
    done = subprocess.run(
        [*node, json.dumps(asdict(assets))],
        env={**os.environ, **azure.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{done.stderr}\n{azure.log(100)}"
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        ["endpoint", "Succeeded"],
        ["blue", "Succeeded"],
        ["served", [200, "blue", 2]],
        ["green", "Succeeded"],
        ["deployments", ["blue", "green"]],
        ["green by name", [200, "green", 3]],
        ["traffic", {"blue": 90, "green": 10}],
        ["traffic", {"blue": 0, "green": 100}],
        ["served", [200, "green", 3]],
        ["instances", 2],
        ["missing", [404, "UserError", "ResourceNotFound"]],
        ["deployments", ["green"]],
        ["listed", True],
        ["left", False],
    ]
