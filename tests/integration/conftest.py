"""What tests that run flows in their own process need."""

import gc
from collections.abc import Iterator

import pytest
from prefect.settings import PREFECT_API_SSL_CERT_FILE, temporary_settings

from saferollout_cli.demo.processes import one_root


def pytest_collection_finish() -> None:
    """Take what is there before the first test out of the collector's sight.

    That is half a million objects, which each collection, as after a test that runs flows, would look through: 0.4
    seconds.
    """
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def one_trusted_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Prefect's clients here read as few roots as those of the processes that are started."""
    with temporary_settings({PREFECT_API_SSL_CERT_FILE: str(one_root(tmp_path_factory.mktemp("root")))}):
        yield
