"""The demo's processes: none is waited for without end, and their garbage collector does not slow them down."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from saferollout_cli.demo.processes import DemoFailed, Process, prefect_env


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("import time; time.sleep(60)", "hanging did not start within 1 s"),
        ("import sys; sys.exit('no room')", "hanging did not start; .*no room"),
    ],
    ids=["hangs", "ends"],
)
def test_a_process_that_says_nothing_is_given_up(tmp_path: Path, program: str, problem: str) -> None:
    """It is stopped, and the end of its log is in the failure."""
    command = [sys.executable, "-c", program]
    with (
        Process("hanging", command, dict(os.environ), tmp_path, tmp_path, pipe=True) as process,
        pytest.raises(DemoFailed, match=f"(?s){problem}"),
    ):
        process.first_line(1 if "time" in program else 30)

    assert [command for command in running() if program in command] == []


def running() -> list[list[str]]:
    """The command lines of the processes that this one has started, and that have not ended meanwhile."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            found.append(child.cmdline())
    return found


def test_processes_rarely_look_for_garbage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own threshold would double what the start of each costs; the user's PYTHONPATH stays."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    program = "import gc, sys; print(gc.get_threshold()[0]); print(*sys.path, sep='\\n')"

    shown = subprocess.run(
        [sys.executable, "-c", program], env=prefect_env(tmp_path), capture_output=True, text=True, check=True
    )

    threshold, *path = shown.stdout.splitlines()
    assert int(threshold) > 10_000, shown.stderr
    assert str(tmp_path) in path
