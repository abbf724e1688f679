"""Where local Azure keeps what outlives it."""

import os
import pwd
from pathlib import Path

import pytest
from typer.testing import CliRunner

from localazure.arm.errors import NotRunning
from localazure.arm.installation import running_environment
from localazure.cli import app
from localazure.compute.environments import Environments
from localazure.core.clock import Clock
from localazure.core.directories import NoHome, cache_directory, state_directory

VARIABLES = ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "LOCALAZURE_CACHE_DIR")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that says nothing about directories."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def stranger(environment: pytest.MonkeyPatch) -> None:
    """A user without an entry among the system's users, as containers have them."""

    def unknown(_uid: int) -> None:
        raise KeyError

    environment.setattr(pwd, "getpwuid", unknown)


def test_they_are_the_users(environment: pytest.MonkeyPatch) -> None:
    """The XDG directories, below the home directory where nothing else is said."""
    environment.setenv("HOME", "/home/somebody")
    assert cache_directory() == Path("/home/somebody/.cache/localazure")
    assert state_directory() == Path("/home/somebody/.local/state/localazure")

    environment.setenv("XDG_CACHE_HOME", "/cache")
    environment.setenv("XDG_STATE_HOME", "/state")
    assert (cache_directory(), state_directory()) == (Path("/cache/localazure"), Path("/state/localazure"))

    environment.setenv("LOCALAZURE_CACHE_DIR", "/mine")
    assert cache_directory() == Path("/mine")


@pytest.mark.usefixtures("stranger")
def test_a_user_without_a_home_gets_a_clear_error(environment: pytest.MonkeyPatch) -> None:
    """Nothing is written into the current directory; what to set is said."""
    user = f"user {os.getuid()} has no home directory"
    with pytest.raises(NoHome, match=f"{user}: set LOCALAZURE_CACHE_DIR, or set HOME"):
        Environments(Clock())

    told = CliRunner().invoke(app, ["env"])
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr == f"localazure: {user}: give --state-dir, or set HOME\n"

    environment.setenv("LOCALAZURE_CACHE_DIR", "/mine")
    Environments(Clock())


def test_nothing_runs_where_nothing_ever_ran(tmp_path: Path) -> None:
    """To look leaves no trace."""
    with pytest.raises(NotRunning, match="no local Azure runs on"):
        running_environment(tmp_path)

    assert list(tmp_path.iterdir()) == []
