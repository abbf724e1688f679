"""Azure's twin for the steps, and a client of the stack's Prefect server."""

from collections import defaultdict
from collections.abc import AsyncIterator

import pytest
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from saferollout.azure.memory import Memory
from saferollout.azure.workspace import Workspace
from tests.support.stack import Stack
from tests.support.twin import make_endpoint


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """An endpoint with blue at 100%, which every step finds."""
    memory = make_endpoint()
    monkeypatch.setattr("tasks.support.access._idle", defaultdict(lambda: [Workspace(memory) for _ in range(9)]))
    return memory


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[PrefectClient]:
    """A client of the stack's server."""
    settings = {PREFECT_API_URL: stack.env["PREFECT_API_URL"], PREFECT_LOGGING_TO_API_ENABLED: False}
    with temporary_settings(settings):
        async with get_client() as made:
            yield made
