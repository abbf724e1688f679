"""What Python runs first in the processes of the tests' stack: a program that imports much is forked elsewhere.

`tests/support/forks.py` is the server that has the imports. This process stays in the program's place: it hands signals
on, ends as the program ends, and takes it along when it is killed. It imports little, for it must be cheap.
"""

import atexit
import gc
import os
import sys

FORKABLE = {
    *("prefect", "prefect.engine", "prefect.runner._workspace_supervisor", "_workspace_runtime_bootstrap.py"),
    *("saferollout", "uvicorn"),
}
"""The programs, modules or scripts, whose imports the server has."""


def fork_elsewhere(address: str) -> None:
    """Let the server run this process's program with its files, environment and directory, and end as that ends."""
    import json
    import signal
    import socket

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    server = socket.socket(socket.AF_UNIX)
    server.connect(address)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    socket.send_fds(server, [b"\n"], [0, 1, 2])
    directory = os.getcwd()  # noqa: PTH109  # to import pathlib takes as long as all else here
    program = {"arguments": sys.orig_argv[1:], "env": dict(os.environ), "directory": directory}
    server.sendall(json.dumps(program).encode() + b"\n")
    for number in signals:
        signal.signal(number, lambda sent, _frame: server.sendall(b"%d\n" % sent))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    code = int(server.makefile().readline() or -signal.SIGKILL)
    if code < 0:
        for number in signals:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def program() -> str:
    """The module or the script that this process is to run."""
    arguments = [argument for argument in sys.orig_argv[1:] if argument != "-m"]
    return arguments[0].rpartition("/")[2] if arguments else ""


if "FORKS" in os.environ and program() in FORKABLE:
    fork_elsewhere(os.environ["FORKS"])
gc.set_threshold(50_000, 20, 50)  # as the demo's own
atexit.register(gc.freeze)
