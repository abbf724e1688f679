"""A Prefect server that tests may stop, start and lock."""

from collections.abc import Iterator

import pytest

from tests.support.prefect import Server


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory, forks: str) -> Iterator[Server]:
    """A server without our deployments; those who use it are one group, so that only one is started."""
    with Server(tmp_path_factory.mktemp("server"), forks) as made:
        made.start()
        yield made
