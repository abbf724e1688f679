"""A container engine that does not answer."""

from pathlib import Path

import pytest

from localazure.compute.engine import Engine


async def test_what_the_command_does_not_understand_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not taken for an engine that is not there."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    command = tmp_path / "docker"
    command.write_text("#!/bin/sh\necho 'unknown flag: --filter'\nexit 125\n")
    command.chmod(0o755)
    engine = Engine(tmp_path)
    assert not await engine.answers()
    assert engine.silence == "unknown flag: --filter"
    assert "docker does not understand 'ps --all" in caplog.text


async def test_a_command_that_is_not_there_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the reason why there are no containers."""
    monkeypatch.setenv("PATH", str(tmp_path))
    engine = Engine(tmp_path)
    assert not await engine.answers()
    assert engine.silence == "there is no such command"
