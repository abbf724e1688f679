"""The demo's processes: none is waited for without end."""

import os
import sys
from pathlib import Path

import psutil
import pytest

from saferollout_cli.demo.processes import DemoFailed, Process


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

    assert not [child for child in psutil.Process().children(recursive=True) if program in child.cmdline()]
