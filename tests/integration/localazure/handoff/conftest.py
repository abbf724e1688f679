"""One Prefect server for all tests of the hand-off.

It has our deployments and no worker: what is requested stays scheduled.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.support.prefect import Server
from tests.support.stack import REPOSITORY


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory, forks: str) -> Iterator[Server]:
    """The server; those who use it are one group, so that only one is started."""
    command = [str(Path(sys.executable).parent / "saferollout"), "setup", "--json"]
    with Server(tmp_path_factory.mktemp("server"), forks) as made:
        made.start()
        env = made.env | {"SAFEROLLOUT_HOME": str(REPOSITORY)}
        subprocess.run(command, env=env, cwd=REPOSITORY, capture_output=True, check=True)
        yield made


@pytest.fixture(autouse=True)
def at_server(server: Server) -> Iterator[None]:
    """What a test calls finds the server."""
    with temporary_settings({PREFECT_API_URL: server.url}):
        yield
