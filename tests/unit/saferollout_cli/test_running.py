"""A rollout that is interrupted before it has begun."""

import asyncio
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from saferollout.config import project
from saferollout.domain.errors import NotRolledBack
from saferollout_cli import terminal
from saferollout_cli.choices import Approve
from saferollout_cli.running import _Attended, _rolled_back, interrupts


@pytest.fixture
def output() -> Iterator[None]:
    """What the command does to this process's output is taken back."""
    yield
    terminal.restore()


def test_what_is_stopped_before_it_begins_does_not_begin() -> None:
    """Interrupted while Prefect's server is still starting, no flow puts a record there after the way back was done."""
    attended, begun = _Attended(Path("rollout.yaml"), None, Approve.UI), []

    async def body() -> None:
        begun.append("step")

    attended.stop()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(attended.keep(body)())

    assert not begun


@pytest.mark.usefixtures("output")
def test_an_interrupted_rollout_that_cannot_be_rolled_back_says_so(
    monkeypatch: pytest.MonkeyPatch, project_files: Path
) -> None:
    """Where nobody is signed in by then the command says what was not done and how to do it, and ends with 3."""
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "ARM_CLOUD_METADATA_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    monkeypatch.setattr("tasks.support.this_run._marked", {uuid.uuid4(): {}})
    found = project.load("rollout.yaml")

    with pytest.raises(
        NotRolledBack,
        match=r"interrupted; NOT rolled back: .*; check the endpoint, then run `saferollout rollback --force",
    ):
        _rolled_back(found, _Attended(project_files, None, Approve.UI))


@pytest.mark.parametrize(
    "sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["interrupted", "terminated", "terminal lost"]
)
def test_whatever_ends_the_command_interrupts_it(sent: signal.Signals) -> None:
    """Ctrl-C, a cancelled CI job and a lost terminal are one and the same to it; afterwards all is as before."""
    usual = signal.getsignal(sent)

    with pytest.raises(KeyboardInterrupt), interrupts():
        signal.raise_signal(sent)

    assert signal.getsignal(sent) is usual


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_is_ignored_interrupts_nothing(sent: signal.Signals) -> None:
    """Below `nohup` the loss of the terminal is no reason to go back."""
    usual = signal.signal(sent, signal.SIG_IGN)
    try:
        with interrupts():
            signal.raise_signal(sent)
    finally:
        signal.signal(sent, usual)
