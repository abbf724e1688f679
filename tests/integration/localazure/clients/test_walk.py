"""Microsoft's safe rollout, run as its users run it."""

import os
import subprocess
import sys
from pathlib import Path

from localazure.testing import LocalAzure
from tests.support.localazure.sdk import SUPPORT


def test_the_safe_rollout_walk_works_with_nothing_but_environment_variables(azure: LocalAzure, tmp_path: Path) -> None:
    """A plain azure-ai-ml script goes through all twelve steps of the how-to."""
    request = tmp_path / "request.json"
    request.write_text('{"x": 2}')
    result = subprocess.run(
        [sys.executable, SUPPORT / "walk.py", SUPPORT / "project", request],
        env={**os.environ, **azure.environ},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, f"{result.stderr}\n{azure.log(100)}"
    steps = [line.lstrip(".") for line in result.stdout.splitlines() if line.lstrip(".")[:1].isdigit()]
    assert [step.split()[0] for step in steps] == ["1", "2", "3", "4", "5", "6", "7", "7", "8", "9", "10", "11", "12"]
    assert '"y": 4' in steps[1]
    assert steps[3] == "4 blue has 2"
    assert steps[5] == '6 traffic {"blue": 100, "green": 0}'
    assert steps[6] == "7 green says 200 6"
    assert steps[8] == "8 mirrored {'green': 10}"
    assert steps[9:] == [
        '9 traffic {"blue": 90, "green": 10}',
        '10 traffic {"blue": 0, "green": 100}',
        "11 left ['green']",
        "12 gone",
    ]
