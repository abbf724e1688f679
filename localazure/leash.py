"""Run a command that cannot outlive its parent: `python -IS leash.py COMMAND…`.

The parent keeps the write end of the leash's stdin open. When the parent dies, however it dies, the kernel closes that
pipe, and the leash kills the command with all its descendants. Standard library only, and imports nothing of the
package, so that it starts in some ten milliseconds and any program may use it.

- End of file on stdin: SIGTERM to the command's process group, SIGKILL to whatever is left after the grace time.
- SIGTERM or SIGINT to the leash: the same.
- The command ends by itself: what it left behind is killed; the leash exits with its exit code (128+n for signal n).

Files that the parent passes on (`pass_fds`) reach the command; the leash itself closes its copies.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

GRACE_ENV = "LEASH_GRACE_S"
"""Environment variable: seconds between SIGTERM and SIGKILL (default 10)."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def command(*argv: str) -> list[str]:
    """The argument vector that runs `argv` on a leash: start it with a pipe as stdin and keep the pipe open."""
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), *argv]


def main(argv: list[str]) -> int:
    """Run `argv` and return its exit code; 127 when it cannot be started."""
    if not argv:
        print("usage: leash.py COMMAND [ARGUMENT…]", file=sys.stderr)
        return 2
    grace_s = float(os.environ.pop(GRACE_ENV, "10"))
    prctl = _prctl()
    prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans of the command come to us, even those in sessions of their own

    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)  # a handler, so that the wake-up pipe hears of it

    try:
        child = subprocess.Popen(  # noqa: S603 - running the given command is what a leash is for
            argv,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            close_fds=False,
            # The leash has no threads, so code between fork and exec is safe.
            preexec_fn=lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509
        )
    except OSError as error:
        print(f"leash: cannot start {argv[0]}: {error.strerror}", file=sys.stderr)
        return 127
    _close_passed_files(keep=(wake_read, wake_write))

    code: int | None = None
    deadline: float | None = None
    stdin_open = True
    while True:
        code = _reap(child.pid, code)
        if code is not None:
            break
        if deadline is not None and time.monotonic() >= deadline:
            break
        if stopping and deadline is None:
            deadline = time.monotonic() + grace_s
            _kill_group(child.pid, signal.SIGTERM)
        _wait(wake_read, stdin_open and not stopping, None if deadline is None else deadline - time.monotonic())
        if stdin_open and not stopping and _at_end(0):
            stdin_open, stopping = False, True
    _kill_group(child.pid, signal.SIGKILL)
    _kill_descendants()
    code = _reap(child.pid, code) if code is None else code
    return code if code is not None else 128 + signal.SIGKILL


def _wait(wake: int, stdin: bool, timeout_s: float | None) -> None:
    import select

    ready, _, _ = select.select(
        [wake, 0] if stdin else [wake], [], [], None if timeout_s is None else max(0, timeout_s)
    )
    if wake in ready:
        os.read(wake, 4096)


def _at_end(fd: int) -> bool:
    import select

    ready, _, _ = select.select([fd], [], [], 0)
    try:
        return bool(ready) and not os.read(fd, 4096)
    except OSError:
        return True


def _reap(pid: int, code: int | None) -> int | None:
    """Collect every dead child (we are the subreaper); the exit code of `pid` once it is among them."""
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
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def _kill_descendants() -> None:
    """SIGKILL every descendant, until there is none: killing a parent can hand us children not seen before."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        pids = _descendants(os.getpid())
        if not pids:
            return
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
        _reap(-1, None)
        time.sleep(0.005)  # the kernel needs a moment to hand over the orphans


def _descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    try:
        names = os.listdir("/proc")
    except OSError:  # not Linux: the process group is all we know of
        return []
    for name in names:
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - lighter than pathlib
                state, parent = file.read().rpartition(b")")[2].split()[:2]
        except OSError:  # it died meanwhile
            continue
        if state != b"Z":
            children.setdefault(int(parent), []).append(int(name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        for pid in children.get(waiting.pop(), []):
            found.append(pid)
            waiting.append(pid)
    return found


def _close_passed_files(keep: tuple[int, ...]) -> None:
    """Close inherited files: a listening socket kept open here would hide the command's death from its clients."""
    try:
        fds = [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        fds = list(range(3, 256))
    for fd in fds:
        if fd > 2 and fd not in keep:
            try:
                os.close(fd)
            except OSError:
                pass


def _prctl():  # type: ignore[no-untyped-def] # noqa: ANN202 - a ctypes function has no useful type
    try:
        import ctypes

        return ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):  # not Linux
        return lambda *_: 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
