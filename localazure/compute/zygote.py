"""Fork scoring servers, which find their imports done: run by the deployment's own Python, not by ours.

Most of what an instance costs are the imports of the packages that the inference server needs. A zygote has them: what
the server's modules import, but for gunicorn, and not those modules themselves, for they read the deployment's settings
and its folder meanwhile; nor anything that only a scoring script imports. All else is as in a process of its own.

Each order comes with three files: a socket for what is said about it, the server's socket, and its log. The one who
orders writes a line of JSON, is answered the process id of the server's leash and, at the end, its exit code; the other
end of the socket is what holds the leash. A zygote ends when no more orders can come and its forks have ended.
"""

import ast
import contextlib
import gc
import importlib
import importlib.util
import json
import os
import signal
import site
import socket
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SERVER = "azureml_inference_server_http"
_FIRST = (_SERVER, f"{_SERVER}.amlserver", f"{_SERVER}.amlserver_linux", f"{_SERVER}.server.entry")
_READERS = (_SERVER, "gunicorn")
"""The packages that read the settings of a deployment, or its folder, when they are imported."""
_FILES = 3


def main() -> None:
    """Run `zygote.py FD scoring_server.py leash.py`, where orders come by FD."""
    if sys.version_info < (3, 9):  # noqa: UP036 - the deployment's own Python may be older
        sys.exit("a zygote takes Python 3.9")
    control = socket.socket(fileno=int(sys.argv[1]))
    server, leash = (_load(Path(path)) for path in sys.argv[2:])
    if sys.path[0] == str(Path(__file__).parent):  # none of the model's business
        del sys.path[0]
    gc.disable()  # a quarter of the time, for what is kept
    for name in _imports():
        if importlib.util.find_spec(name.partition(".")[0]):  # what is missing the server can do without, or reports
            importlib.import_module(name)
    _check_alone(control.fileno())
    sys.stdout.flush()
    said = os.pread(1, os.fstat(1).st_size, 0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a leash
    gc.freeze()  # a collection in a fork would copy what they share
    gc.enable()
    order = _take_orders(control, leash)
    if order:
        os.write(2, said)
        server.serve(order["socket"], order["arguments"])


def _load(path: Path) -> Any:
    """Return the module, which no `import` shall find."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        sys.exit(f"{path} is not a module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _imports() -> "list[str]":
    """Return what the server's modules import first of all, in their order, without what is to be imported anew."""
    spec = importlib.util.find_spec(_SERVER)
    if spec is None or spec.origin is None:
        return []
    root = Path(spec.origin).parent
    found: dict[str, None] = {}
    seen: set[str] = set()
    waiting = list(_FIRST)
    while waiting:
        name = waiting.pop(0)
        package, *rest = name.split(".")
        if package not in _READERS:
            found[name] = None
            continue
        base = root.joinpath(*rest)
        file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
        if package == _SERVER and name not in seen and file.is_file():
            seen.add(name)
            body = ast.parse(file.read_bytes()).body
            waiting[:0] = _imported(body, name if base.is_dir() else name.rpartition(".")[0])
    return list(found)


def _imported(body: "list[ast.stmt]", package: str) -> "Iterator[str]":
    """Yield what a module imports in any case, absolutely; of its own package also what may not be a module."""
    for statement in body:
        if isinstance(statement, ast.Try):
            yield from _imported(statement.body, package)
        elif isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            name = importlib.util.resolve_name("." * statement.level + (statement.module or ""), package)
            yield name
            if name.partition(".")[0] == _SERVER:
                yield from (f"{name}.{alias.name}" for alias in statement.names)


def _check_alone(control: int) -> None:
    """Check that there is nothing that forks must not share, or would lack: a package can have it from its import."""
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names are enough
    files = [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208 - likewise
    more = [file for file in files if file > 2 and file != control and _is_open(file)]
    if threads > 1 or more:
        sys.exit(
            f"the imports have started {threads - 1} threads and opened {len(more)} files, which a fork would share"
        )


def _is_open(file: int) -> bool:
    try:
        os.fstat(file)
    except OSError:  # by which the others were listed
        return False
    return True


def _take_orders(control: socket.socket, leash: Any) -> "dict[str, Any] | None":
    """Fork a leash for each order.

    Returns:
        In a server's process: its order. In this one: None, at the end.
    """
    while True:
        byte, messages, _, _ = control.recvmsg(1, socket.CMSG_SPACE(4 * _FILES))
        if not byte:
            break
        files = [number for _, _, data in messages for number in memoryview(data).cast("i")]
        try:
            pid = os.fork()
        except OSError as error:  # who ordered it sees the end of the file; the forks that live must not end for it
            print(f"cannot fork: {error}", file=sys.stderr, flush=True)
        else:
            if pid == 0:
                control.close()
                return _attend(files, leash)
        for file in files:
            os.close(file)
    with contextlib.suppress(ChildProcessError):  # there is none left
        os.wait()
    return None


def _attend(files: "list[int]", leash: Any) -> "dict[str, Any]":
    """Be the leash of a server; return in the server's process, and there only."""
    connection, listener, log = files
    os.setsid()
    with open(connection, "rb", closefd=False) as lines:
        order: dict[str, Any] = json.loads(lines.readline())
    os.dup2(connection, 0)
    os.write(0, b"%d\n" % os.getpid())
    code = leash.fork(order["grace_s"])
    if code is not None:
        with contextlib.suppress(OSError):  # nobody is there by now
            os.write(0, b"%d\n" % code)
        os._exit(0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(connection)
    os.environ.update(order["environment"])
    site.USER_BASE = site.USER_SITE = None
    site.getusersitepackages()
    sysconfig.get_config_vars()["userbase"] = site.USER_BASE
    os.chdir(order["folder"])
    return {**order, "socket": listener}


if __name__ == "__main__":
    main()
