"""Where the demo keeps its files, and what it says above the steps."""

import os
from pathlib import Path

import pytest
from prefect.client.schemas.objects import State
from prefect.states import Cancelling, Completed, Failed, Late, Paused, Pending, Running, Scheduled, Suspended

from saferollout.domain.errors import ConfigError
from saferollout_cli.choices import Candidate
from saferollout_cli.demo import conductor
from saferollout_cli.demo.conductor import _check_handoff, _directory, status_of


@pytest.mark.parametrize("is_there", [False, True])
def test_what_the_demo_keeps_is_private(tmp_path: Path, is_there: bool) -> None:
    """State and logs have keys, models and requests: nobody but their owner reads them, whatever the usual rights."""
    usual = os.umask(0o022)
    try:
        if is_there:
            (tmp_path / "state").mkdir()
        with _directory(tmp_path / "state") as directory:
            (directory / "a.log").write_text("key", encoding="utf-8")
            (directory / "b").mkdir()
        (tmp_path / "result.json").write_text("{}", encoding="utf-8")
    finally:
        os.umask(usual)

    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"state": 0o755 if is_there else 0o700, "a.log": 0o600, "b": 0o700, "result.json": 0o644}


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (None, "the worker is starting the run"),
        (Scheduled(), "the worker is starting the run"),
        (Late(), "the worker is starting the run"),
        (Pending(), "the worker is starting the run"),
        (Running(), ""),
        (Suspended(), "waiting for a decision"),
        (Paused(), "waiting for a decision"),
        (Cancelling(), ""),
        (Completed(), ""),
        (Failed(), ""),
    ],
)
def test_a_run_that_has_ended_is_not_said_to_start(state: State[None] | None, status: str) -> None:
    """Only a run that waits for its worker, or for a person, needs a word."""
    assert status_of(state) == status


def test_a_handoff_is_refused_before_anything_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another candidate is wanted, or nothing is there to train with; each with what would be right."""
    _check_handoff(Candidate.GOOD)
    monkeypatch.setattr(conductor, "NEEDED_TO_TRAIN", ("json", "no_such_module"))
    with pytest.raises(ConfigError) as caught:
        _check_handoff(Candidate.SLOW)
    assert [str(problem) for problem in caught.value.problems] == [
        "command line: --handoff: rolls a newly trained model out, not the candidate slow; leave --candidate out",
        (
            "command line: --handoff: trains a model, which needs no_such_module: not installed; "
            "install the wheel with [local,retrain]"
        ),
    ]
