"""One Prefect server for all tests of the set-up."""

from collections.abc import Iterator

import pytest

from tests.support.prefect import Server
from tests.support.stack import REPOSITORY, Stack


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, forks: str) -> Iterator[Stack]:
    """A Prefect server and commands; no Azure, no worker. A silent run is noticed after 25 seconds instead of 70."""
    directory = tmp_path_factory.mktemp("server")
    home = directory / "home"
    home.mkdir()
    content = (REPOSITORY / "prefect.yaml").read_text()
    assert content.count("within: 70\n") == 1
    (home / "prefect.yaml").write_text(content.replace("within: 70\n", "within: 25\n"))
    with Server(directory, forks) as server:
        server.start()
        env = server.env | {"SAFEROLLOUT_HOME": str(home), "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
        yield Stack(directory, env)
