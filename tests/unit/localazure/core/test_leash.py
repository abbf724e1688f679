"""Nothing that is on a leash outlives its parent."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from localazure.core import leash

# A command with a child in its group, a grandchild in a session of its own, and no regard for SIGTERM.
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
own = subprocess.Popen(["sleep", "300"])
away = subprocess.Popen(["sleep", "300"], start_new_session=True)
print(os.getpid(), own.pid, away.pid, flush=True)
time.sleep(300)
"""


def start(
    *argv: str,
    grace_s: float = 0.2,
    pass_fds: Sequence[int] = (),
    cwd: Path | None = None,
    farewell: Sequence[str] = (),
) -> subprocess.Popen[str]:
    """A leashed command, its stdin the leash."""
    return subprocess.Popen(
        leash.command(*argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, leash.GRACE_ENV: str(grace_s), leash.FAREWELL_ENV: json.dumps(farewell)},
        pass_fds=pass_fds,
        cwd=cwd,
    )


@pytest.fixture
def family() -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A leash, and the processes on it."""
    process = start(sys.executable, "-c", STUBBORN)
    assert process.stdout is not None
    assert process.stdin is not None
    members = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
    yield process, members
    process.kill()
    process.wait()
    process.stdout.close()
    process.stdin.close()


def assert_gone(processes: list[psutil.Process]) -> None:
    """All of them, within a few seconds."""
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == []


def test_the_whole_family_dies_when_the_pipe_closes(
    family: tuple[subprocess.Popen[str], list[psutil.Process]],
) -> None:
    """Which is what the kernel does when the parent dies; those that ignore SIGTERM or have moved away die as well."""
    process, members = family
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(10) == 128 + signal.SIGKILL
    assert_gone(members)


def test_the_whole_family_dies_when_the_leash_is_asked_to_stop(
    family: tuple[subprocess.Popen[str], list[psutil.Process]],
) -> None:
    """SIGTERM to the leash means all of it."""
    process, members = family
    process.terminate()
    process.wait(10)
    assert_gone(members)


def test_the_command_dies_even_when_the_leash_is_killed(
    family: tuple[subprocess.Popen[str], list[psutil.Process]],
) -> None:
    """The kernel sees to the command itself."""
    process, members = family
    process.kill()
    process.wait(10)
    assert_gone(members[:1])
    for member in members[1:]:  # orphans of a double accident, which nothing but the kernel could end
        member.kill()


def test_a_command_that_stops_when_asked_is_given_the_time() -> None:
    """SIGTERM first; its own exit code is the leash's."""
    script = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print('up', flush=True)"
    process = start(sys.executable, "-c", f"{script}; time.sleep(300)", grace_s=30)
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait(10) == 7


@pytest.mark.parametrize(("command", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137)])
def test_the_exit_code_is_the_command_s(command: str, code: int) -> None:
    """128+n for a signal, as in a shell."""
    with start("bash", "-c", command) as process:
        assert process.wait(10) == code


def test_what_the_command_leaves_behind_is_killed() -> None:
    """A daemon that it started ends with it."""
    with start("bash", "-c", "setsid sleep 300 >/dev/null & echo $!") as process:
        assert process.stdout is not None
        left = int(process.stdout.readline())
        assert process.wait(10) == 0
    assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE


def test_a_command_that_cannot_be_started_is_reported() -> None:
    """127, as in a shell."""
    result = subprocess.run(
        leash.command("no-such-command"), input="", capture_output=True, text=True, timeout=10, check=False
    )
    assert result.returncode == 127
    assert "no-such-command" in result.stderr


def test_the_leash_keeps_no_passed_socket_open() -> None:
    """When the command dies, its clients are refused; they do not wait in a queue that nobody serves."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        process = start("sleep", "300", pass_fds=[listener.fileno()])
    with process:
        leashed = psutil.Process(process.pid)
        deadline = time.monotonic() + 10
        while not (children := leashed.children()) or leashed.num_fds() > 5:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with socket.create_connection(address, timeout=5):
            pass
        holders = [process for process in (leashed, *children) if _holds(process, listener_port=address[1])]
        assert holders == children
        process.terminate()


def _holds(process: psutil.Process, listener_port: int) -> bool:
    return any(connection.laddr.port == listener_port for connection in process.net_connections("tcp"))


def test_the_leash_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    """Any program may use it: it runs without site-packages, from anywhere."""
    with start("true", cwd=tmp_path) as process:
        assert process.wait(10) == 0


@pytest.mark.parametrize("end", ["by itself", "asked", "by the pipe"])
def test_the_farewell_is_run_however_the_command_ends(tmp_path: Path, end: str) -> None:
    """It ends what the command started elsewhere: a container, say."""
    left = tmp_path / "left"
    left.touch()
    duration_s = 0 if end == "by itself" else 300
    process = start("bash", "-c", f"echo begun; sleep {duration_s}", farewell=["rm", str(left)])
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    assert left.exists() or end == "by itself"
    if end == "asked":
        process.terminate()
    elif end == "by the pipe":
        process.stdin.close()
    process.wait(10)
    process.stdin.close()
    process.stdout.close()
    assert not left.exists()
