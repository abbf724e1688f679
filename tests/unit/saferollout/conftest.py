"""An endpoint in memory."""

import pytest

from saferollout.azure.memory import Memory
from saferollout.azure.workspace import Workspace
from tests.support.twin import make_endpoint


@pytest.fixture
def memory() -> Memory:
    """An endpoint with blue at 100%."""
    return make_endpoint()


@pytest.fixture
def azure(memory: Memory) -> Workspace:
    """The workspace that it is in."""
    return Workspace(memory)
