"""What a user must read is on the terminal, whatever that is, and nothing else is."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[3]
RESULT = {"outcome": "promoted", "reason": "Zoë ← 日本 💚 \x9b31m"}

pytestmark = pytest.mark.slow  # a process for each


def run(program: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program that has the command line's terminal."""
    start = "from saferollout_cli import environment, terminal\nenvironment.prepare()\n"
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)} | options.pop("env", {})
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run(
        [sys.executable, "-c", start + program], env=env, text=True, timeout=60, check=False, **options
    )


def test_what_others_write_is_in_a_log(tmp_path: Path) -> None:
    """Libraries, child processes and Prefect's loggers: the log's path is said; a warning is said, too."""
    done = run(
        "import logging, os, subprocess, sys\n"
        "from saferollout_cli import steps\n"
        "terminal.divert('run')\n"
        "steps.report()\n"
        "print('noise of a library'); print('\\x1b[32mUploading', file=sys.stderr)\n"
        "subprocess.run(['sh', '-c', 'echo noise of a child; echo Traceback >&2'])\n"
        "log = logging.getLogger('prefect.task_runs'); log.setLevel('INFO')\n"
        "log.info('Finished in state Completed()', extra={'task_run_name': 'baseline'})\n"
        "log.error('Finished in state Failed(...)', extra={'task_run_name': 'create green'})\n"
        "log.warning('not shown: %s', 'a picture', extra={'task_run_name': 'report'})\n"
        "logging.getLogger('saferollout.azure.retries').warning('once more\\x1b]0;x\\x07')\n"
        f"terminal.print_result({RESULT!r}, '', as_json=True)\n",
        env={"TMPDIR": str(tmp_path)},
    )

    assert json.loads(done.stdout) == RESULT
    (log,) = tmp_path.glob("saferollout-run-*.log")
    assert done.stderr.splitlines() == [
        f"log: {log}",
        "✔ baseline",
        "✘ create green",
        "report: not shown: a picture",
        "once more",
    ]
    written = log.read_text(encoding="utf-8")
    for noise in ("noise of a library", "Uploading", "noise of a child", "Traceback"):
        assert noise in written
    assert log.stat().st_mode & 0o077 == 0


def test_a_traceback_is_seen(tmp_path: Path) -> None:
    """What nobody foresaw is not hidden in a log."""
    done = run(
        "terminal.divert('run')\nterminal.restore()\nraise ValueError('unforeseen')", env={"TMPDIR": str(tmp_path)}
    )

    assert "ValueError: unforeseen" in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("diverted", ["terminal.divert('run')\n", ""], ids=["diverted", "plain"])
def test_any_encoding_takes_the_result(encoding: str, diverted: str, tmp_path: Path) -> None:
    """A rollout that has ended well does not fail over a sign that the terminal does not have."""
    done = run(
        f"{diverted}terminal.print_result({{}}, '# ✅ Promoted: Zoë', as_json=False)\n"
        f"terminal.print_result({RESULT!r}, '', as_json=True)\n"
        "terminal.say('✔ baseline')",
        env={"PYTHONIOENCODING": encoding, "TMPDIR": str(tmp_path)},
        encoding=encoding,
    )

    assert done.returncode == 0, done.stderr
    *report, result = done.stdout.splitlines()
    assert "Promoted" in "".join(report)
    assert json.loads(result) == RESULT
    assert "baseline" in done.stderr


def test_a_result_that_cannot_be_written_is_said_so() -> None:
    """The disk is full: the exit code still says what became of the rollout."""
    with Path("/dev/full").open("w") as full:
        done = run(f"terminal.print_result({RESULT!r}, '', as_json=True)", stdout=full)

    assert (done.returncode, done.stderr) == (0, "the result could not be written: No space left on device\n")


@pytest.mark.parametrize("as_json", [True, False])
def test_nobody_who_reads_is_no_failure(as_json: bool) -> None:
    """A pipe whose reader has gone, and a stream that the parent has closed."""
    read, write = os.pipe()
    os.close(read)
    done = run(f"terminal.print_result({RESULT!r}, '# Promoted', as_json={as_json})", stdout=write)
    os.close(write)
    closed = run(
        f"terminal.divert('run')\nterminal.print_result({RESULT!r}, '# Promoted', as_json={as_json})",
        preexec_fn=lambda: os.closerange(0, 2),
        stdout=None,
        stderr=subprocess.PIPE,
    )

    assert (done.returncode, done.stderr) == (0, "the result could not be written: Broken pipe\n")
    assert closed.returncode == 0, closed.stderr
    assert "Traceback" not in closed.stderr
