"""The demo: what `make rollout` runs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.stack import REPOSITORY, Stack, started, wait_for

SAFEROLLOUT = Stack(Path(), {}).command()[0]


def demo(directory: Path, *options: str, forks: Stack) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end; its flow runs are forked from that stack's server of processes."""
    kept = ["--state-dir", str(directory / "state"), "--json", "--requests-per-s", "8"]
    forked = {name: forks.env[name] for name in ("FORKS", "PYTHONPATH")}
    return subprocess.run(
        [sys.executable, "-c", "from saferollout_cli import main; main()", "demo", *kept, *options],
        cwd=REPOSITORY,
        env=os.environ | forked,
        capture_output=True,
        text=True,
        check=False,
    )


def left_over(directory: Path) -> list[str]:
    """The command lines of processes that still belong to a demo; what is forked shows it by its files alone."""
    found = []
    for process in psutil.process_iter():
        try:
            files = [file.path for file in process.open_files()]
            if any(str(directory) in text for text in (*process.cmdline(), *process.environ().values(), *files)):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def test_demo_promotes_without_a_failed_request(stack: Stack, tmp_path: Path) -> None:
    """The demo ends promoted, no user's request failed, blue is gone, and no process is left.

    With the hand-off the model is trained there, better, registered, and asked for by an event; nobody does more than
    approve twice. A demo without it differs in how its rollout is submitted: the next test's is such a one.
    """
    done = demo(tmp_path, "--handoff", forks=stack)

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["outcome"] == "promoted"
    assert result["traffic"] == {"green": 100}
    assert list(result["instance_counts"]) == ["green"]
    assert result["requests"]["failed"] == 0
    assert result["requests"]["total"] > 100
    assert [(decision["stage"], decision["decision"]) for decision in result["decisions"]] == [
        (10, "approve"),
        (100, "approve"),
    ]
    assert [verdict["verdict"] for verdict in result["verdicts"]] == ["passed", "healthy", "healthy"]
    assert {"preflight", "baseline", "create green", "smoke test green"} <= {step["name"] for step in result["steps"]}
    assert "# ✅ Promoted" in result["report"]
    wait_for("the end of all processes", lambda: not left_over(tmp_path) or None, timeout_s=60)
    assert result["retraining"].startswith("registered diabetes:2, mean loss smaller than that of diabetes:1 by ")
    assert result["model"] == "diabetes:2"
    assert "by retraining run " in result["inputs"]["asked for"]


def test_demo_with_a_harmful_candidate_rolls_back(stack: Stack, tmp_path: Path) -> None:
    """A candidate that fails for some inputs is caught at 10%: exit code 1, and users saw less than its share."""
    done = demo(tmp_path, "--candidate", "errors", forks=stack)

    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)
    assert result["outcome"] == "rolled_back"
    assert result["traffic"] == {"blue": 100}
    assert result["verdicts"][-1]["verdict"] == "harmful"
    assert result["requests"]["failed"] <= 0.1 * result["requests"]["total"]
    wait_for("the end of all processes", lambda: not left_over(tmp_path) or None, timeout_s=60)


@pytest.mark.parametrize(
    ("sent", "begun"), [(signal.SIGKILL, "users"), (signal.SIGINT, "prefect-worker")], ids=["kill", "interrupt"]
)
def test_nothing_outlives_a_demo_that_is_stopped(tmp_path: Path, sent: signal.Signals, begun: str) -> None:
    """However the demo ends, early or in the middle of a rollout, all of its processes end with it.

    It is as a user starts it: nothing of it is forked, so that every process that is left shows whose it is.
    """
    command = [SAFEROLLOUT, "demo", "--state-dir", str(tmp_path / "state"), "--approve", "ui"]
    with started(command) as running:
        wait_for(begun, lambda: (tmp_path / "state" / f"{begun}.log").exists() or None, timeout_s=480)
        running.send_signal(sent)
        running.communicate(timeout=60)

    wait_for("the end of all processes", lambda: not left_over(tmp_path) or None, timeout_s=60)
