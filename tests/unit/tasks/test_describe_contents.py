"""What an approval says of files and packages when they cannot be compared: a person is asked all the same."""

import threading

import pytest
from prefect.logging import disable_run_logger

from saferollout.azure.memory import Memory
from saferollout.azure.memory_state import MemoryFolder
from saferollout.domain.endpoint import DeploymentState
from tasks import approval
from tests.support.asking import Case, current


class Trouble(Memory):
    """Code that cannot be had, in a way that nobody has thought of, or that takes very long."""

    released: threading.Event | None = None

    def open_code(self, code: str) -> MemoryFolder:
        """Wait, or fail."""
        if self.released is None:
            msg = f"TOKEN of {code}"
            raise RuntimeError(msg)
        self.released.wait(60)
        return MemoryFolder({})


async def said(memory: Memory) -> str:
    """What the question says."""
    case = Case()
    case.memory = memory
    live, candidate = (
        DeploymentState(name=name, instance_count=1, provisioning_state="Succeeded", code_id=f"{name}-code")
        for name in ("blue", "green")
    )
    with current(case), disable_run_logger():
        return await approval.describe_contents(case.rollout, live, candidate)


async def test_a_failure_is_said_without_its_words() -> None:
    """They may be of a file."""
    assert await said(Trouble()) == (
        "**Code and environment**: which files and packages changed is not known: "
        "looking at them failed with RuntimeError."
    )


async def test_an_azure_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not longer than half a minute."""
    monkeypatch.setattr(approval, "COMPARE_S", 0.1)
    memory = Trouble()
    memory.released = threading.Event()
    try:
        assert "Azure did not answer within 0.1 s" in await said(memory)
    finally:
        memory.released.set()
