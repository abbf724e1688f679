"""Programs in processes that need not import what they use: a server has the imports, and forks for each of them.

Imports are half of what a command or a flow run costs; all else is as in a process of its own. Run as a program it is
the server. `site/sitecustomize.py` brings it the programs of the processes whose environment has the variable FORKS.
A Prefect server that is forked finds its new database migrated, as a copy of one.
"""

import asyncio
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from saferollout.domain import fault_points
from saferollout_cli.demo.processes import START_S, Process, kill_tree, prefect_env
from saferollout_cli.environment import DEFAULTS
from tests.support.stack import REPOSITORY

SITE = Path(__file__).with_name("site")
IMPORTS = [
    "anyio._backends._asyncio",
    "azure.ai.ml.entities",
    "fastapi",
    "flows.bootstrap",
    "flows.guard",
    "flows.retire",
    "flows.rollback",
    "flows.rollout",
    "flows.teardown",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "prefect.cli.server",
    "prefect.cli.worker",
    "prefect.flow_engine",
    "prefect.runner._workspace_supervisor",
    "prefect.server.api.server",
    "prefect.utilities.visualization",
    "saferollout.azure.client",
    "saferollout_cli.approvals",
    "saferollout_cli.commands",
    "uvicorn.main",
]


def forked(env: dict[str, str], address: str) -> dict[str, str]:
    """The environment of processes whose programs are forked by the server at this address."""
    path = [str(SITE), *env.get("PYTHONPATH", "").split(os.pathsep)]
    return _of_no_test(env) | {"FORKS": address, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def _of_no_test(env: dict[str, str]) -> dict[str, str]:
    """Without what Azure's SDK sets in a test's process: the cloud that the test has, which is not there elsewhere."""
    return {name: value for name, value in env.items() if name != "AZUREML_CURRENT_CLOUD"}


def fork_server(directory: Path) -> tuple[Process, str]:
    """Start the server; return it with its address once it has its imports."""
    address = str(directory / "forks.sock")
    env = _of_no_test(prefect_env(directory))
    server = Process("forks", [sys.executable, "-m", __name__, address], env, directory, REPOSITORY, pipe=True)
    server.first_line(START_S)
    return server, address


def _serve(address: str) -> dict[str, Any]:
    """Attend each connection in a process of its own; in the process of each program, return what it is."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for what attends a connection
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            try:
                child = os.fork()
            except OSError as error:  # who asked sees the end of the connection; what is forked must not end for it
                print(f"cannot fork: {error}", file=sys.stderr, flush=True)
            else:
                if child == 0:
                    break
            connection.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return _attend(connection)


def _attend(connection: socket.socket) -> dict[str, Any]:
    """Fork a program, hand signals on to it and report its end; return in its process."""
    with connection:
        _, files, _, _ = socket.recv_fds(connection, 1, 3)
        lines = connection.makefile("r")
        program: dict[str, Any] = json.loads(lines.readline())
        child = os.fork()
        if child == 0:
            for number, file in enumerate(files):
                os.dup2(file, number)
                os.close(file)
            os.setsid()
            return program
        for file in files:
            os.close(file)
        ended = os.pidfd_open(child)
        while ended not in select.select([ended, connection.fileno()], [], [])[0]:
            sent = [int(number) for number in connection.recv(64).split()]
            for number in sent:
                os.kill(child, number)
            if not sent:  # who asked for it was killed: it goes with all that it has started
                kill_tree(child)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with contextlib.suppress(OSError):  # nobody is there by now
            connection.sendall(f"{code}\n".encode())
    os._exit(0)


def _database(env: Mapping[str, str]) -> Path:
    """Where a Prefect server has its database, if it is told nothing else."""
    return Path(env.get("PREFECT_HOME") or Path(env["HOME"], ".prefect")) / "prefect.db"


def _migrate() -> Path:
    """Make an empty database of this Prefect, in a process of its own, for this one has to stay without threads."""
    from prefect.server.database import provide_database_interface

    child = os.fork()
    if child == 0:
        asyncio.run(provide_database_interface().create_db())
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        sys.exit(code)
    database = _database(os.environ)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return database


def _models(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        yield model
        yield from _models(model)


def _become(program: dict[str, Any], migrated: Path) -> None:
    """Run the program as Python runs it: a module after `-m`, or a script."""
    from prefect.context import refresh_global_settings_context

    os.environ.clear()
    os.environ.update(DEFAULTS | program["env"])  # what the command line sets before Prefect reads it
    os.chdir(program["directory"])
    gc.freeze()
    refresh_global_settings_context()
    fault_points._folder = os.environ.get(fault_points.FAULTS)  # noqa: SLF001 - read at the import
    module = program["arguments"][0] == "-m"
    name, *sys.argv[1:] = program["arguments"][module:]
    is_server = name == "uvicorn" or sys.argv[1:3] == ["server", "start"]
    if is_server and not (database := _database(program["env"])).exists():
        database.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(migrated, database)
    first = program["directory"] if module else str(Path(name).parent)
    sys.path[:0] = [first, *program["env"]["PYTHONPATH"].split(os.pathsep)]
    if module:
        # it is there as what others have imported
        sys.modules.pop(f"{name}.__main__" if hasattr(sys.modules.get(name), "__path__") else name, None)
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    else:
        sys.argv[0] = name
        runpy.run_path(name, run_name="__main__")


if __name__ == "__main__":
    for name in IMPORTS:
        importlib.import_module(name)
    for model in _models(BaseModel):
        model.model_rebuild()  # else Prefect has each process complete those that it uses, in a tenth of a second
    template = _migrate()
    gc.freeze()  # a collection in a program's process would copy what the processes share
    _become(_serve(sys.argv[1]), template)
