"""The whole stack for acceptance tests: local Azure, a Prefect server, a worker, the command line; all real."""

import contextlib
import fcntl
import functools
import gc
import json
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TypeVar

import hypothesis
import pytest

from localazure.core.certificates import trusting_only
from localazure.testing import LocalAzure
from saferollout.approvals.keys import KEY
from saferollout.azure.client import DRAIN
from saferollout.config.request import CONFIGS
from saferollout_cli.demo import processes
from tests.support import leaks
from tests.support.forks import fork_server, forked
from tests.support.signing import make_pem
from tests.support.stack import REPOSITORY, UNSCHEDULED, Endpoint, Stack

SPARING = {
    "PREFECT_WORKER_QUERY_SECONDS": "3",  # each query costs the server 18 ms
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "20",  # a transaction for many of a task's states
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
}
"""What makes the stack's Prefect use less CPU time than its defaults, and changes nothing else."""

T = TypeVar("T")


def pytest_configure(config: pytest.Config) -> None:
    """Whatever tests start can be interrupted, although a script's background jobs or `nohup` hand down otherwise.

    What it leaves in the directory for temporary files, as commands their logs, goes with the last test.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())  # what failed tests leave is kept
        tempfile.tempdir = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="tests-")  # short: it holds sockets
        config.add_cleanup(functools.partial(shutil.rmtree, tempfile.tempdir, ignore_errors=True))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    gc.set_threshold(50_000, 20, 50)  # by default, looking for garbage takes as long as the imports
    # a busy machine does not fail a test: nothing is timed
    hypothesis.settings.register_profile("untimed", deadline=None)
    hypothesis.settings.load_profile("untimed")


def pytest_collection_finish() -> None:
    """Take what is there before the first test out of the collector's sight.

    That is half a million objects, which each collection, as after a test that runs flows, would look through: 0.4
    seconds.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Collect what a test leaves open that talks with Prefect here: its engine leaves a socket for each run.

    Else it would be found, as an error, in whatever test runs when the next collection comes, also of another file.
    """
    ends_file = "tests/integration/" in item.nodeid and (nextitem is None or nextitem.path != item.path)
    if ends_file or "forks" in getattr(item, "fixturenames", ()) or "integration/rollout" in item.nodeid:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have counted, whichever of xdist's processes ran them: a number that is too small is seen."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "teardown":  # it has those of the whole test
                for name, value in report.user_properties:
                    terminalreporter.write_line(f"{report.nodeid}: {name}: {value}")


@contextlib.contextmanager
def shared(factory: pytest.TempPathFactory, name: str, start: Callable[[Path, ExitStack], T]) -> Iterator[T]:
    """What is started once for all of xdist's processes, in a directory of this name; JSON says where it is.

    The first process that needs it starts it, and stops it when no other still uses it. Who needs it after that starts
    it anew.
    """
    base = factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    directory = root / name
    known = directory / "known.json"
    with (root / f"{name}.lock").open("w") as lock, (root / f"{name}.users").open("w") as users, ExitStack() as started:
        fcntl.flock(lock, fcntl.LOCK_EX)
        started.callback(fcntl.flock, lock, fcntl.LOCK_UN)
        if not known.exists():
            if directory.exists():
                directory.rename(tempfile.mkdtemp(prefix=f"{name}-ended-", dir=root))
            directory.mkdir()
            started.callback(known.unlink, missing_ok=True)
            known.write_text(json.dumps(start(directory, started)))
            started.callback(_become_the_last, lock, users)
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(lock, fcntl.LOCK_UN)
        found: T = json.loads(known.read_text())
        yield found


def _become_the_last(lock: IO[str], users: IO[str]) -> None:
    """Wait until nobody else uses what is shared, and return with the lock, so that nobody comes."""
    while True:
        fcntl.flock(users, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_UN)  # who holds the lock may be waiting for it
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(BlockingIOError):  # somebody has come meanwhile
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        fcntl.flock(lock, fcntl.LOCK_UN)


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server that forks programs for all tests."""

    def start(directory: Path, started: ExitStack) -> str:
        server, address = fork_server(directory)
        started.enter_context(server)
        return address

    with shared(tmp_path_factory, "forks", start) as address:
        yield address


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, forks: str) -> Iterator[Stack]:
    """One stack for all tests, whichever of xdist's processes runs them; each test has an endpoint of its own."""
    with shared(tmp_path_factory, "stack", functools.partial(_start, forks)) as (directory, env, azure):
        # this process looks at Azure too
        before = dict(os.environ)
        os.environ.update(azure)
        yield Stack(Path(directory), env | azure)
        os.environ.clear()
        os.environ.update(before)


def _start(forks: str, directory: Path, started: ExitStack) -> tuple[str, dict[str, str], dict[str, str]]:
    """Start all of it; return its directory, and the environments for Prefect and for local Azure."""
    env = forked(processes.prefect_env(directory), forks) | {"SAFEROLLOUT_HOME": str(REPOSITORY)}
    env |= SPARING | UNSCHEDULED
    env |= {KEY: make_pem()} | leaks.traps(directory)  # decisions are signed
    # the tests' own configs lie beside the stack
    env |= {CONFIGS: os.pathsep.join([str(REPOSITORY / "configs"), str(directory.parent)])}
    server = started.enter_context(processes.prefect_server(directory, env, REPOSITORY))
    local = started.enter_context(LocalAzure(None, "--strict"))
    azure = trusting_only(local.environ) | {DRAIN: "2"}
    started.callback(leaks.check, directory, local.state_dir, env | azure)  # when flows and worker have ended
    server.wait_until(processes.healthy(env["PREFECT_API_URL"]), processes.START_S)
    stack = Stack(directory, env | azure)
    stack.cli("setup")
    started.enter_context(processes.prefect_worker(directory, env | azure, REPOSITORY))
    return str(directory), env, azure


@pytest.fixture
def endpoint(stack: Stack, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Endpoint]:
    """An endpoint whose first deployment serves model v1, removed after the test."""
    made = Endpoint.bootstrap(stack, tmp_path, request.node.name)
    yield made
    made.delete()
