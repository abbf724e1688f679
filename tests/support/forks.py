"""Programs in processes that need not import what they use: a server has the imports, and forks for each of them.

Imports are half of what a command or a flow run costs; all else is as in a process of its own. Run as a program it is
the server. `site/sitecustomize.py` brings it the programs of the processes whose environment has the variable FORKS.
"""

import contextlib
import gc
import importlib
import json
import os
import re
import runpy
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from saferollout_cli.demo.processes import START_S, Process

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
    "prefect.flow_engine",
    "prefect.runner._workspace_supervisor",
    "prefect.utilities.visualization",
    "saferollout.azure.client",
    "saferollout_cli.approvals",
    "saferollout_cli.commands",
]


def forked(env: dict[str, str], directory: Path) -> dict[str, str]:
    """The environment of processes whose programs are forked by the server in this directory."""
    env = {name: value for name, value in env.items() if name != "AZUREML_CURRENT_CLOUD"}  # a test's, by the SDK
    return env | {"FORKS": str(directory / "forks.sock"), "PYTHONPATH": os.pathsep.join([str(SITE), env["PYTHONPATH"]])}


def fork_server(directory: Path, env: dict[str, str], cwd: Path) -> Process:
    """Start the server; return it once it has its imports."""
    command = [sys.executable, "-m", __name__, str(directory / "forks.sock")]
    server = Process("forks", command, env, directory, cwd, pipe=True)
    server.first_line(START_S)
    return server


def _serve(address: str) -> dict[str, Any]:
    """Attend each connection in a process of its own; in the process of each program, return what it is."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for what attends a connection
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
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
            for number in sent or [signal.SIGKILL]:  # nothing more comes: whoever asked for it was killed
                os.kill(child, number)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with contextlib.suppress(OSError):  # nobody is there any longer
            connection.sendall(f"{code}\n".encode())
    os._exit(0)


def _has_other_settings(env: dict[str, str]) -> bool:
    """Whether Prefect is set otherwise than in the server; a worker writes the same values in Prefect's own manner."""
    from prefect.settings import get_current_settings

    written = get_current_settings().to_environment_variables(exclude_unset=True)
    names = {name for name in [*env, *os.environ] if re.match("PREFECT_(?!_)", name)}
    return any(env.get(name) not in (os.environ.get(name), written.get(name)) for name in names)


def _become(program: dict[str, Any]) -> None:
    """Run the program as Python runs it: a module after `-m`, or a script."""
    renew = _has_other_settings(program["env"])
    os.environ.clear()
    os.environ.update(program["env"])
    os.chdir(program["directory"])
    gc.freeze()
    if renew:
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()
    module = program["arguments"][0] == "-m"
    name, *sys.argv[1:] = program["arguments"][module:]
    first = program["directory"] if module else str(Path(name).parent)
    sys.path[:0] = [first, *program["env"]["PYTHONPATH"].split(os.pathsep)]
    if module:
        sys.modules.pop(name, None)  # it is there as what others have imported
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    else:
        sys.argv[0] = name
        runpy.run_path(name, run_name="__main__")


if __name__ == "__main__":
    for name in IMPORTS:
        importlib.import_module(name)
    gc.freeze()  # a collection in a program's process would copy what the processes share
    _become(_serve(sys.argv[1]))
