"""What the command line sets in its environment, and what it cannot do without."""

import os
import pwd
from pathlib import Path

import pytest
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from saferollout.domain.errors import ConfigError
from saferollout_cli.environment import check_prefect_home, check_server, patient, prepare

PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies, which is as before afterwards."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        for either in (name, name.upper()):
            monkeypatch.setenv(either, "")
            monkeypatch.delenv(either)
    return monkeypatch


@pytest.mark.parametrize(
    ("said", "hosts"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "corp.example,localhost"}, "corp.example,localhost,127.0.0.1"),
        ({"NO_PROXY": "a", "no_proxy": "b"}, "b,127.0.0.1,localhost"),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_no_proxy_stands_before_this_machine(environment: pytest.MonkeyPatch, said: dict[str, str], hosts: str) -> None:
    """A temporary server, and what the demo starts, are reached directly; so is what the user had named."""
    for name, value in (said | {"HTTPS_PROXY": PROXY}).items():
        environment.setenv(name, value)

    prepare()

    assert (os.environ["NO_PROXY"], os.environ["no_proxy"]) == (hosts, hosts)


def test_without_a_proxy_nothing_is_said_of_it() -> None:
    """The user's environment stays as it is."""
    prepare()

    assert "NO_PROXY" not in os.environ
    assert "no_proxy" not in os.environ


def test_a_user_without_a_home_has_one(environment: pytest.MonkeyPatch) -> None:
    """Azure's SDK wants to know it when it is imported; a container's user may have none."""

    def unknown(_uid: int) -> None:
        raise KeyError

    environment.setattr(pwd, "getpwuid", unknown)
    environment.setenv("HOME", "")
    environment.delenv("HOME")

    prepare()

    assert Path.home() == Path("/")


def test_a_folder_that_prefect_cannot_write_to_is_a_mistake(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is said which, and what to set."""
    (tmp_path / "file").write_text("")
    environment.setenv("PREFECT_HOME", str(tmp_path / "file" / "prefect"))

    with pytest.raises(
        ConfigError, match=r"PREFECT_HOME: Prefect cannot write to .*: Not a directory; set PREFECT_HOME"
    ):
        check_prefect_home()

    environment.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    check_prefect_home()


def test_no_server_is_a_mistake_that_says_how_to_name_one(environment: pytest.MonkeyPatch) -> None:
    """A temporary server would start, know nothing of any run, and say so half a minute later."""
    environment.delenv("PREFECT_API_URL", raising=False)

    with pytest.raises(ConfigError, match=r"no Prefect server is configured; start one with .*export PREFECT_API_URL="):
        check_server()


@pytest.mark.parametrize(("said", "tries"), [(0, 6), (5, 6), (9, 9)])
def test_an_answer_outlives_a_server_that_refuses_changes_for_a_minute(said: int, tries: int) -> None:
    """Six pauses of 2, 4, 8, … s are two minutes; a user who wants more tries has them."""
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: said}):
        with patient():
            assert PREFECT_CLIENT_MAX_RETRIES.value() == tries
        assert PREFECT_CLIENT_MAX_RETRIES.value() == said
