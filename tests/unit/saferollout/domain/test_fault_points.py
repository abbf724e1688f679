"""Fault points: each fault strikes once, whoever gets there, and without a test nothing is there to strike."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from saferollout.domain import fault_points
from saferollout.domain.errors import AzureFailed
from saferollout.domain.fault_points import AFTER, BEFORE, DONE, FAULTS, AzureChange, Fault, arm, reach

REACH_THREE_TIMES = """
from saferollout.domain.fault_points import BEFORE, AzureChange, reach
for number in range(3):
    reach(AzureChange.UPDATE_ENDPOINT, BEFORE)
    print(number, flush=True)
"""


def test_nothing_strikes_unless_the_process_began_with_a_folder(tmp_path: Path) -> None:
    """Faults lie in a folder that nobody named to this process."""
    arm(tmp_path, AzureChange.UPDATE_ENDPOINT, BEFORE, Fault.FAIL)

    reach(AzureChange.UPDATE_ENDPOINT, BEFORE)

    assert len(list(tmp_path.glob("* before"))) == 1


def test_faults_strike_in_order_each_once_and_only_at_their_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who gets there is let pass first, fails then, and never again."""
    monkeypatch.setattr(fault_points, "_folder", str(tmp_path))
    arm(tmp_path, AzureChange.UPDATE_ENDPOINT, BEFORE, Fault.PASS)
    arm(tmp_path, AzureChange.UPDATE_ENDPOINT, BEFORE, Fault.FAIL)

    reach(AzureChange.UPDATE_ENDPOINT, AFTER)
    reach(AzureChange.UPDATE_ENDPOINT, BEFORE)
    with pytest.raises(AzureFailed, match="a test lets it fail: update endpoint before") as failed:
        reach(AzureChange.UPDATE_ENDPOINT, BEFORE)
    reach(AzureChange.UPDATE_ENDPOINT, BEFORE)

    assert failed.value.retryable
    assert len(list((tmp_path / DONE).iterdir())) == 2


def test_a_process_that_begins_again_is_not_killed_for_ever(tmp_path: Path) -> None:
    """Of three processes the first two are killed, at the point and on their way through."""
    arm(tmp_path, AzureChange.UPDATE_ENDPOINT, BEFORE, Fault.KILL)
    arm(tmp_path, AzureChange.UPDATE_ENDPOINT, BEFORE, Fault.PASS)
    arm(tmp_path, AzureChange.UPDATE_ENDPOINT, BEFORE, Fault.KILL)
    command = [sys.executable, "-c", REACH_THREE_TIMES]
    env = os.environ | {FAULTS: str(tmp_path)}

    ended = [subprocess.run(command, env=env, capture_output=True, text=True, check=False) for _ in range(3)]

    assert [process.returncode for process in ended] == [-signal.SIGKILL, -signal.SIGKILL, 0]
    assert [process.stdout.split() for process in ended] == [[], ["0"], ["0", "1", "2"]]
