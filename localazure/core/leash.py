"""Run a command that cannot outlive its parent: `python -IS leash.py COMMAND…`.

The parent keeps the write end of the leash's stdin open. When the parent dies, however it dies, the kernel closes that
pipe, and the leash kills the command with all its descendants. Standard library only, and imports nothing of the
package, so that it starts in some twenty milliseconds and any program may use it, in Python 3.9 as well: annotations
that it does not know are quoted. What is forked rather than started, and so has no command, calls `fork`.

- End of file on stdin: SIGTERM to the command's process group, SIGKILL to whatever is left after the grace time.
- SIGTERM, SIGINT or SIGHUP to the leash: the same.
- The command ends by itself: what it left behind is killed; the leash exits with its exit code (128+n for signal n).
- Whichever it was: a farewell, if one is set, ends what the command started elsewhere, in a container say.

Files that the parent passes on (`pass_fds`) reach the command; the leash itself closes its copies.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

GRACE_ENV = "LEASH_GRACE_S"
"""Environment variable: seconds between SIGTERM and SIGKILL (default 10)."""

FAREWELL_ENV = "LEASH_FAREWELL"
"""Environment variable: a command as a JSON list, run when all else is gone; what comes of it does not matter."""

_STDIN = 0
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_FAREWELL_TIMEOUT_S = 30.0
_KILL_TIMEOUT_S = 5.0
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def command(*argv: str) -> list[str]:
    """Return the argument vector that runs `argv` on a leash: start it with a pipe as stdin and keep the pipe open."""
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), *argv]


def main(argv: list[str]) -> int:
    """Run `argv`.

    Returns:
        Its exit code; 127 when it cannot be started.
    """
    if not argv:
        print("usage: leash.py COMMAND [ARGUMENT…]", file=sys.stderr)
        return 2
    grace_s = float(os.environ.pop(GRACE_ENV, "10"))
    farewell = json.loads(os.environ.pop(FAREWELL_ENV, "[]"))
    code = fork(grace_s, argv) or 0
    if farewell:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(  # noqa: S603 - running the given command is what a farewell is for
                farewell,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_FAREWELL_TIMEOUT_S,
                check=False,
            )
    return code


def fork(grace_s: float, argv: Sequence[str] = ()) -> "int | None":
    """Fork, and be the leash of the child: of `argv`, if given.

    The child's stdin is /dev/null, it is in a session of its own, and signals do to it what they do to any Python.

    Returns:
        In the parent, when the child and its descendants have ended: its exit code; 127 when `argv` cannot be started.
        In the child, which has no `argv`: None.
    """
    prctl = _prctl()
    prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans of the command come to us, even those in sessions of their own
    signals = _Signals()
    settled, settling = os.pipe()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)  # no signal meets a child that has our handlers
    pid = os.fork()
    if pid == 0:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setsid()
        signals.forget()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, _STDIN)
        os.close(nothing)
        os.close(settled)
        if argv:
            _execute(argv)
        os.close(settling)
        return None
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.close(settling)
    os.read(settled, 1)  # until the child has closed it, or has been replaced: before that, none is to be stopped
    _close_passed_files(keep=signals.files)
    code = _watch(pid, signals, grace_s)
    _kill_group(pid, signal.SIGKILL)
    _kill_descendants()
    return 128 + signal.SIGKILL if code is None else code


def _execute(argv: Sequence[str]) -> NoReturn:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and what it is replaced by would as well
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(argv[0], list(argv))  # noqa: S606 - running the given command is what a leash is for
    except OSError as error:
        print(f"leash: cannot start {argv[0]}: {error.strerror}", file=sys.stderr, flush=True)
    os._exit(127)


class _Signals:
    """Turns signals into something that select() waits for."""

    def __init__(self) -> None:
        self.stop_asked = False
        read, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self.files = (read, write)
        for number in _STOPPING:
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # a handler, so that the pipe hears of it

    def forget(self) -> None:
        """Let signals do again what they do in any Python."""
        signal.set_wakeup_fd(-1)
        for number in (*_STOPPING, signal.SIGCHLD):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        for file in self.files:
            os.close(file)

    def _stop(self, _number: int, _frame: "FrameType | None") -> None:
        self.stop_asked = True


def _watch(pid: int, signals: _Signals, grace_s: float) -> "int | None":
    """Wait for the command to end, or to be ended.

    Returns:
        Its exit code; None where it outstayed the grace time.
    """
    deadline: float | None = None
    watched = [signals.files[0], _STDIN]
    while True:
        code = _reap(pid)
        if code is not None:
            return code
        if signals.stop_asked and deadline is None:
            deadline = time.monotonic() + grace_s
            watched = [signals.files[0]]
            _kill_group(pid, signal.SIGTERM)
        left_s = None if deadline is None else deadline - time.monotonic()
        if left_s is not None and left_s <= 0:
            return None
        ready, _, _ = select.select(watched, [], [], left_s)
        if signals.files[0] in ready:
            os.read(signals.files[0], 4096)
        if _STDIN in ready and _at_end(_STDIN):
            signals.stop_asked = True


def _at_end(fd: int) -> bool:
    try:
        return not os.read(fd, 4096)
    except OSError:
        return True


def _reap(pid: int) -> "int | None":
    """Collect every dead child, orphans too.

    Returns:
        The exit code of `pid`, if it is among them.
    """
    code = None
    while True:
        try:
            dead, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if not dead:
            return code
        if dead == pid:
            exit_code = os.waitstatus_to_exitcode(status)
            code = exit_code if exit_code >= 0 else 128 - exit_code


def _kill_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _kill_descendants() -> None:
    """SIGKILL every descendant, until there is none: killing a parent can hand us children not seen before."""
    deadline = time.monotonic() + _KILL_TIMEOUT_S
    while (pids := _descendants(os.getpid())) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)  # the kernel needs a moment to hand over the orphans
        _reap(-1)


def _descendants(root: int) -> list[int]:
    families = children()
    found: list[int] = []
    waiting = [root]
    while waiting:
        for pid in families.get(waiting.pop(), []):
            found.append(pid)
            waiting.append(pid)
    return found


def children() -> dict[int, list[int]]:
    """Return the children of each process that has any; those that only wait to be collected do not count."""
    try:
        pids = [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - names are enough
    except OSError:  # not Linux: the process group is all we know of
        return {}
    found: dict[int, list[int]] = {}
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - there are hundreds, and this is quicker
                state, parent = file.read().rpartition(b")")[2].split(None, 2)[:2]
        except OSError:  # it died meanwhile
            continue
        if state != b"Z":
            found.setdefault(int(parent), []).append(int(pid))
    return found


def _close_passed_files(keep: tuple[int, ...]) -> None:
    """Close inherited files: a listening socket kept open here would hide the command's death from its clients."""
    try:
        fds = [int(path.name) for path in Path("/dev/fd").iterdir()]
    except OSError:
        fds = list(range(3, 256))
    for fd in fds:
        if fd > 2 and fd not in keep:
            with contextlib.suppress(OSError):
                os.close(fd)


def _prctl() -> Callable[[int, int], int]:
    try:
        import ctypes

        function: Callable[[int, int], int] = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):  # not Linux
        return lambda _option, _value: 0
    return function


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
