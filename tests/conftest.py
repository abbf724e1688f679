"""The whole stack for acceptance tests: local Azure, a Prefect server, a worker, the command line; all real."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from localazure.testing import LocalAzure
from saferollout.demo import processes
from tests.stack import REPOSITORY, Endpoint, Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for all tests of a session; each test has an endpoint of its own."""
    directory = tmp_path_factory.mktemp("stack")
    env = processes.prefect_env(directory) | {"SAFEROLLOUT_HOME": str(REPOSITORY)}
    with ExitStack() as started:
        server = started.enter_context(processes.prefect_server(directory, env, REPOSITORY))
        azure = started.enter_context(LocalAzure())
        env |= azure.environ
        server.wait_until(processes.healthy(env["PREFECT_API_URL"]), 120)
        started.enter_context(processes.prefect_worker(directory, env, REPOSITORY))
        # this process looks at Azure too
        before = dict(os.environ)
        os.environ.update(azure.environ)
        started.callback(lambda: (os.environ.clear(), os.environ.update(before)))
        yield Stack(directory, env)


@pytest.fixture
def endpoint(stack: Stack, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Endpoint]:
    """An endpoint whose first deployment serves model v1, removed after the test."""
    made = Endpoint.bootstrap(stack, tmp_path, request.node.name)
    yield made
    made.delete()
