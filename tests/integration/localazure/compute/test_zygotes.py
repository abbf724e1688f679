"""Scoring servers that are forked are as those that are not, and cost less."""

import asyncio
import contextlib
import json
import re
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO, Any

import httpx
import psutil
import pytest

from localazure.compute.conda import parse
from localazure.compute.environments import Environments
from localazure.compute.inference_server import InferenceServer
from localazure.compute.zygotes import IDLE, Server, Zygotes
from localazure.core.clock import Clock
from localazure.core.processes import Process
from tests.support.localazure.sdk import PROJECT, SUPPORT

Serve = Callable[..., Any]


REFUSE_ONE_FORK = """\
import os
fork = os.fork
def fork_or_fail():
    try:
        os.unlink({0!r})
    except FileNotFoundError:
        return fork()
    raise BlockingIOError(11, os.strerror(11))
os.fork = fork_or_fail
"""
"""Has a Python's next fork fail when the file is there, as where there are too many processes."""


class Without(Zygotes):
    """None: every server does its imports itself."""

    async def start(self, server: Server, listener: socket.socket, output: IO[bytes]) -> Process:
        """Start it so."""
        return await self.start_alone(server, listener, output)


class Served:
    """A scoring server of a test, and what it answers."""

    def __init__(self, process: Process, port: int, log: Path) -> None:
        self.process = process
        self.log = log
        self._port = port

    async def look(self) -> dict[str, Any]:
        """What the script sees, with other words for what no two servers have in common."""
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            answer = await client.post(f"http://127.0.0.1:{self._port}/score", json={})
        text = answer.raise_for_status().text.replace(str(self.log), "LOG")
        # another number may hold the port's digits
        seen: dict[str, Any] = json.loads(re.sub(rf"\b{self._port}\b", "PORT", text))
        return seen

    @property
    def leash(self) -> psutil.Process:
        """The process that ends the zygote when its parent is gone."""
        return psutil.Process(self.process.pid)

    @property
    def zygote(self) -> psutil.Process:
        """The process that has forked it."""
        parent = self.leash.parent()
        assert parent is not None
        return parent

    def cpu_s(self) -> float:
        """What the server and its worker have used."""
        times = [process.cpu_times() for process in self.leash.children(recursive=True)]
        return sum(each.user + each.system for each in times)


@pytest.fixture
async def python() -> Path:
    """Of the test project's environment."""
    environments, wanted = Environments(Clock()), parse((PROJECT / "conda.yml").read_text())
    base = await environments.interpreter(wanted, print)
    return await environments.build(wanted, base, print)


@pytest.fixture
async def zygotes() -> AsyncIterator[Zygotes]:
    """Those of a test."""
    found = Zygotes()
    yield found
    await found.stop()


@pytest.fixture
async def serve(python: Path, zygotes: Zygotes, tmp_path: Path) -> AsyncIterator[Serve]:
    """Start a scoring server with these variables."""
    logs = iter(range(100))
    script = tmp_path / "app" / "score.py"
    script.parent.mkdir()
    script.write_bytes((SUPPORT / "onlooker.py").read_bytes())
    async with contextlib.AsyncExitStack() as running:

        async def start(program: Path = python, zygotes: Zygotes = zygotes, **variables: str) -> Served:
            environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "AZUREML_MODEL_DIR": "none", **variables}
            log = tmp_path / f"{next(logs)}.log"
            started = await InferenceServer(program, script, script.parent, environment, zygotes).start(log, Clock())
            running.push_async_callback(started.process.stop)
            return Served(started.process, (await started.address()).port, log)

        yield start


def path_with(directory: Path, line: str) -> str:
    """A `PYTHONPATH` by which every Python runs this line first."""
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(line)
    return str(directory)


async def test_a_fork_sees_what_a_server_sees_that_does_its_imports_itself(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """Variables, folders, arguments, modules, open files, signals, limits: all but modules of the standard library.

    It costs less than a third.
    """
    await serve(GREETING="hello")
    fork, itself = await serve(GREETING="hello"), await serve(GREETING="hello", zygotes=Without())
    assert fork.zygote.cmdline()[1].endswith("zygote.py")
    assert not caplog.messages
    seen, expected = await fork.look(), await itself.look()
    more = set(seen.pop("modules")) ^ set(expected["modules"])
    assert more <= {"gc", "ctypes", "_ctypes", "ctypes._endian"}
    assert not more & set(expected.pop("modules"))
    assert seen == expected
    assert seen["environment"]["GREETING"] == "hello"
    assert fork.log.read_text().count("looking on") == 1
    assert fork.cpu_s() < itself.cpu_s() / 3


async def test_what_cannot_be_forked_does_its_imports_itself(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A thread that is started while Python starts would be missing; the log of local Azure says so, once for each."""
    thread = "import threading, time; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
    path = path_with(tmp_path / "modules", thread)
    server = await serve(PYTHONPATH=path)
    assert (await server.look())["environment"]["PYTHONPATH"] == path
    assert server.leash.cmdline()[4].endswith("python")
    assert "does its imports itself: the imports have started 1 threads" in caplog.messages[0]


async def test_forks_share_no_variables_that_are_not_the_same(serve: Serve) -> None:
    """One zygote forks for the same variables. Of other deployments it has none, and each fork gets its own."""
    one, same, other = [
        await serve(SECRET=secret, AZUREML_NAME=name) for secret, name in (("a", "1"), ("a", "2"), ("b", "3"))
    ]
    assert one.zygote == same.zygote != other.zygote
    assert [server.zygote.environ()["SECRET"] for server in (one, other)] == ["a", "b"]
    assert "AZUREML_NAME" not in one.zygote.environ()
    seen = [(await server.look())["environment"] for server in (one, same, other)]
    assert [(each["SECRET"], each["AZUREML_NAME"]) for each in seen] == [("a", "1"), ("a", "2"), ("b", "3")]


async def test_a_fork_ends_as_a_process_of_its_own(serve: Serve) -> None:
    """It is asked to first; it can be killed with all its descendants; its exit code is known; others go on."""
    asked, killed, other = [await serve() for _ in range(3)]
    for server in (asked, killed):
        await server.look()
    family = [*asked.leash.children(recursive=True), *killed.leash.children(recursive=True)]
    assert len(family) == 4
    assert await asked.process.stop() == 0
    assert "Shutting down: Master" in asked.log.read_text()
    killed.process.kill()
    assert await killed.process.wait() == 128 + signal.SIGKILL
    assert psutil.wait_procs(family, timeout=10)[1] == []
    await other.look()
    assert await asked.process.stop() == 0  # once more, which does nothing


async def test_a_zygote_that_dies_takes_its_forks_along_and_is_replaced(serve: Serve) -> None:
    """Nobody would end them otherwise if their leashes died; the next server has another zygote."""
    first = await serve()
    await first.look()
    family, zygote = first.leash.children(recursive=True), first.zygote
    zygote.kill()
    assert await first.process.wait() < 0
    assert psutil.wait_procs([zygote, *family], timeout=10)[1] == []
    await (await serve()).look()  # a moment after its death no zygote need be known to be dead, but this goes well
    replaced = await serve()
    await replaced.look()
    assert replaced.zygote.cmdline()[1].endswith("zygote.py")


async def test_a_fork_that_fails_leaves_the_others_alive(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the kernel refuses it, or it takes too long: the server does its imports itself, and the log says why.

    The zygote forks no longer, and ends when its last fork has.
    """
    refusal = tmp_path / "refuse"
    path = path_with(tmp_path / "modules", "print('deprecated')\n" + REFUSE_ONE_FORK.format(str(refusal)))
    first = await serve(PYTHONPATH=path)
    await first.look()  # it has forked what it forks itself
    refusal.touch()
    refused = await serve(PYTHONPATH=path)
    assert not refusal.exists()
    second = await serve(PYTHONPATH=path)
    retired, zygote = first.zygote, second.zygote
    assert retired != zygote
    zygote.suspend()
    with monkeypatch.context() as patch:
        patch.setattr("localazure.compute.zygotes.START_S", 0.2)
        late = await serve(PYTHONPATH=path)
    zygote.resume()
    for server in (first, refused, second, late):
        await server.look()
    for alone in (refused, late):
        assert alone.leash.cmdline()[4].endswith("python")  # a process that has only just started has none to show
    why = [message.partition("does its imports itself: ")[2] for message in caplog.messages]
    assert why == ["cannot fork: [Errno 11] Resource temporarily unavailable", "it takes too long"]
    for server in (first, second):
        assert await server.process.stop() == 0
    assert psutil.wait_procs([retired, zygote], timeout=10)[1] == []


async def test_a_zygote_whose_fork_has_failed_ends_with_the_others(
    serve: Serve, zygotes: Zygotes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its forks with it, though it forks no longer."""
    monkeypatch.setattr("localazure.compute.inference_server.STOP_GRACE_S", 0.1)
    refusal = tmp_path / "refuse"
    path = path_with(tmp_path / "modules", REFUSE_ONE_FORK.format(str(refusal)))
    first = await serve(PYTHONPATH=path)
    await first.look()
    family = [first.zygote, first.leash, *first.leash.children(recursive=True)]
    refusal.touch()
    await serve(PYTHONPATH=path)
    assert all(process.is_running() for process in family)
    await zygotes.stop()
    assert psutil.wait_procs(family, timeout=10)[1] == []


async def test_zygotes_without_forks_are_few(serve: Serve, zygotes: Zygotes) -> None:
    """The one that was used the longest time ago ends when there are too many."""
    servers = [await serve(NUMBER=str(number)) for number in range(IDLE + 1)]
    found = [server.zygote for server in servers]
    for server in servers:
        await server.process.stop()
    assert psutil.wait_procs(found[:1], timeout=10)[1] == []
    assert all(zygote.is_running() for zygote in found[1:])
    await zygotes.stop()
    assert psutil.wait_procs(found, timeout=10)[1] == []


async def test_what_the_imports_print_is_in_the_log_of_each_fork(serve: Serve, tmp_path: Path) -> None:
    """And what an import raises is an error there, with the exit code that it has in any process."""
    folder = tmp_path / "modules"
    path = path_with(folder, "print('deprecated')")
    for server in [await serve(PYTHONPATH=path) for _ in range(2)]:
        await server.look()
        assert server.log.read_text().count("deprecated\n") == 1
    (folder / "flask.py").write_text("raise RuntimeError('the wrong flask')")
    for broken in await asyncio.gather(*[serve(PYTHONPATH=path, OTHER="zygote") for _ in range(2)]):
        assert await broken.process.wait() == 1
        assert broken.log.read_text().splitlines()[-1] == "RuntimeError: the wrong flask"


async def test_a_python_that_is_no_longer_there_is_reported(serve: Serve, tmp_path: Path) -> None:
    """In the log, as of any command that cannot be started."""
    server = await serve(tmp_path / "python")
    assert await server.process.wait() == 127
    assert "cannot start" in server.log.read_text()
