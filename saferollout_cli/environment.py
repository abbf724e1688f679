"""The environment that the command line runs in: what it sets where nothing is said, and what it cannot do without."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from saferollout.domain.errors import ConfigError, Problem

LOOPBACK = ("127.0.0.1", "localhost")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
DEFAULTS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # 20 s are too few on a machine that is busy
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # the temporary server's; it fails with a long traceback offline
}
TRIES_AGAIN = 6
"""How often a refused change is tried again: for 126 s, with Prefect's pauses of 2, 4, 8, … s.

A server on SQLite may refuse every change (503) for a minute, as long as it waits for a lock; Prefect's own five tries
are over after 62 s.
"""
START_A_SERVER = (
    "start one with `prefect server start` and say where it is: `export PREFECT_API_URL=http://127.0.0.1:4200/api`"
)


def prepare() -> None:
    """Set what this process and its children need, where the user has not said it."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    _reach_loopback()
    try:
        Path.home()
    except RuntimeError:  # Azure's SDK asks for it when it is imported
        os.environ["HOME"] = "/"
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not is_unicode(stream):
            stream.reconfigure(errors="backslashreplace")


def _open_what_is_closed() -> None:
    """Let a standard stream that the parent has closed lead nowhere, so that it can be written to."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8"))


def _reach_loopback() -> None:
    """No proxy reaches what runs on this machine: a temporary server of Prefect's, or what the demo starts."""
    if not any(os.environ.get(name) or os.environ.get(name.upper()) for name in PROXIES):
        return
    said = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host for host in said.split(",") if host]
    if "*" not in hosts:
        hosts += [host for host in LOOPBACK if host not in hosts]
    for name in ("no_proxy", "NO_PROXY"):  # clients differ in which of them they read first
        os.environ[name] = ",".join(hosts)


def is_unicode(stream: object) -> bool:
    """Whether any text can be written to the stream."""
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "").startswith("utf")


def check_prefect_home() -> None:
    """Check that Prefect can keep its results, and the database of a temporary server.

    Raises:
        ConfigError: It cannot.
    """
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect").expanduser()
    problem = ""
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = error.strerror or str(error)
    else:
        if not os.access(home, os.W_OK | os.X_OK):
            problem = "Permission denied"
    if problem:
        raise ConfigError(
            Problem(
                "environment",
                "PREFECT_HOME",
                f"Prefect cannot write to {home}: {problem}",
                "set PREFECT_HOME to a folder that you can write to",
            )
        )


def check_server() -> None:
    """Check that a Prefect server is named: one that is started for the command alone knows no run of another.

    Raises:
        ConfigError: None is.
    """
    if not server_url():
        raise ConfigError(
            Problem("environment", "PREFECT_API_URL", "is not set, so no Prefect server is configured", START_A_SERVER)
        )


@contextlib.contextmanager
def patient() -> Iterator[None]:
    """Within the block, Prefect's client outlives a server that refuses changes for a minute."""
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: max(TRIES_AGAIN, PREFECT_CLIENT_MAX_RETRIES.value())}):
        yield


def server_url() -> str:
    """The address of the Prefect server that the environment or the user's profile names; empty if none."""
    from prefect.settings import PREFECT_API_URL

    return PREFECT_API_URL.value() or ""
