"""The command line in processes that need not import it: a server has the imports, and forks for each command.

Run as a program it is the server. Imports are half of what a command costs; all else is as in a process of its own.
"""

import gc
import importlib
import json
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

from saferollout_cli import main
from saferollout_cli.demo.processes import START_S, Process

IMPORTS = [
    "anyio._backends._asyncio",
    "azure.ai.ml.entities",
    "fastapi",
    "flows.retire",
    "flows.rollback",
    "flows.rollout",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "prefect.flow_engine",
    "prefect.utilities.visualization",
    "saferollout.azure.client",
    "saferollout_cli.approvals",
    "saferollout_cli.commands",
]


def command_server(directory: Path, env: dict[str, str], cwd: Path) -> tuple[Process, str]:
    """Start the server, its commands in this environment; return it with its port."""
    server = Process("commands", [sys.executable, "-m", __name__], env, directory, cwd, pipe=True)
    return server, server.first_line(START_S).strip()


def run_command(arguments: tuple[str, ...], port: str) -> tuple[int, str, str]:
    """Let the server run a command; return its exit code, its standard output and its standard error."""
    with socket.create_connection(("127.0.0.1", int(port))) as connection, connection.makefile("rw") as lines:
        print(json.dumps(arguments), file=lines, flush=True)
        code, output, errors = json.loads(lines.readline())
    return code, output, errors


def _serve() -> None:
    """Attend each connection in a process of its own; return in the process of each command."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for what attends a connection
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                break
            connection.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _attend(connection)


def _attend(connection: socket.socket) -> None:
    """Start the command that is asked for and report its end; return in its process."""
    with connection, connection.makefile("rw") as lines:
        arguments = json.loads(lines.readline())
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            command = os.fork()
            if command == 0:
                os.dup2(output.fileno(), 1)
                os.dup2(errors.fileno(), 2)
                sys.argv = ["saferollout", *arguments]
                return
            code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
            texts = []
            for file in (output, errors):
                file.seek(0)
                texts.append(file.read().decode())
        print(json.dumps([code, *texts]), file=lines, flush=True)
    os._exit(0)


if __name__ == "__main__":
    for name in IMPORTS:
        importlib.import_module(name)
    gc.freeze()  # a collection in a command's process would copy what the processes share
    _serve()
    main()
