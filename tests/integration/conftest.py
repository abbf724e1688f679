"""What all integration tests share."""

import gc
from collections.abc import Iterator

import pytest
from prefect.settings import PREFECT_API_SSL_CERT_FILE, temporary_settings

from saferollout_cli.demo import processes


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Look for garbage only in what tests make: to go through all modules takes a tenth of a second after each test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Prefect's clients in this process read one root, as those in other processes do: see `prefect_env`."""
    env = processes.prefect_env(tmp_path_factory.mktemp("root"))
    with temporary_settings({PREFECT_API_SSL_CERT_FILE: env["PREFECT_API_SSL_CERT_FILE"]}):
        yield
