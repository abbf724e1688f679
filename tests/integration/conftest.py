"""What tests that run flows in their own process need."""

from collections.abc import Iterator

import pytest
from prefect.settings import PREFECT_API_SSL_CERT_FILE, temporary_settings

from saferollout_cli.demo.processes import one_root


@pytest.fixture(autouse=True, scope="session")
def one_trusted_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Prefect's clients here read as few roots as those of the processes that are started."""
    with temporary_settings({PREFECT_API_SSL_CERT_FILE: str(one_root(tmp_path_factory.mktemp("root")))}):
        yield
