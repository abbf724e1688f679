"""What may be wrong with an endpoint, on local Azure and on its twin in memory alike."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from localazure.testing import LocalAzure
from saferollout.azure.memory import Failure, Memory
from saferollout.azure.resources import writable
from tests.support.localazure.arm import Arm

NAME = "contract"


class Trouble(Protocol):
    """What can be done to a workspace from outside."""

    def hold(self, deployment: str) -> AbstractContextManager[object]:
        """Let an operation of somebody else on the endpoint, or its deployment, be under way."""
        ...

    def fail(self, failure: Failure) -> AbstractContextManager[object]:
        """Let the next operation fail."""
        ...

    def autoscale(self, deployment: str, *, enabled: bool) -> None:
        """Let an autoscale setting for a deployment be enabled, or not."""
        ...


class OfLocalAzure:
    """Trouble on local Azure."""

    def __init__(self, azure: LocalAzure, arm: Arm) -> None:
        self._chaos = azure.chaos
        self._arm = arm

    @contextmanager
    def hold(self, deployment: str) -> Iterator[None]:
        """Let an operation of somebody else on the endpoint, or its deployment, be under way."""
        path = f"onlineEndpoints/{NAME}" + (f"/deployments/{deployment}" if deployment else "")
        with self._chaos.hang(method="PUT", path=path) as hanging:
            self._arm.call("PUT", path, self._arm.get(path))
            hanging.wait()
            yield
        self._arm.run("PUT", path, writable(self._arm.get(path)))

    def fail(self, failure: Failure) -> AbstractContextManager[object]:
        """Let the next operation fail."""
        return self._chaos.fail(after=failure == "after", path="onlineEndpoints/**")

    def autoscale(self, deployment: str, *, enabled: bool) -> None:
        """Let an autoscale setting for a deployment be enabled, or not."""
        path = f"onlineEndpoints/{NAME}/deployments/{deployment}"
        self._arm.autoscale(f"scale-{deployment}", path.upper(), enabled=enabled)  # ids have no case


class OfMemory:
    """Trouble in memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    @contextmanager
    def hold(self, deployment: str) -> Iterator[None]:
        """Let an operation of somebody else on the endpoint, or its deployment, be under way."""
        self._memory.hold(NAME, deployment, reads=2)
        yield
        for _ in range(2):
            self._memory.read_endpoint(NAME)
            self._memory.list_deployments(NAME)

    @contextmanager
    def fail(self, failure: Failure) -> Iterator[None]:
        """Let the next operation fail."""
        self._memory.fails_next = failure
        yield
        assert self._memory.fails_next is None

    def autoscale(self, deployment: str, *, enabled: bool) -> None:
        """Let an autoscale setting for a deployment be enabled, or not."""
        change = self._memory.autoscaled.add if enabled else self._memory.autoscaled.discard
        change((NAME, deployment))
