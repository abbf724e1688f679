"""The owner of a rollout: who is at work, and whether that process is still there."""

import getpass
import hashlib
import os
import socket
import sys
from pathlib import Path
from typing import Self

import psutil

from saferollout.domain.endpoint import Value


class Owner(Value):
    """Who is at work: a person on a machine, the flow run and, where the run lives in one process, that process."""

    name: str
    flow_run: str
    process: str = ""
    """`pid@start@place` of the process that the run lives and dies with; empty for a deployed run."""

    @classmethod
    def here(cls, flow_run: str, *, in_process: bool) -> Self:
        """This user on this machine."""
        return cls(
            name=f"{user_name()}@{socket.gethostname()}",
            flow_run=flow_run,
            process=_process() if in_process else "",
        )

    def is_here(self) -> bool:
        """Whether the owner is a process whose end can be seen from here: same host name, boot and pid namespace."""
        _, _, place = self._identity()
        return bool(place) and place == _place() and self.name.rpartition("@")[2] == socket.gethostname()

    def is_gone(self) -> bool:
        """Whether the owner's process has surely ended; False where that cannot be known from here."""
        pid, start, _ = self._identity()
        if not self.is_here() or not pid.isdecimal() or not start.isdecimal():
            return False
        if not psutil.pid_exists(int(pid)):
            return True
        try:
            return _start(int(pid)) != int(start)  # a process that got the pid anew
        except psutil.NoSuchProcess:
            return not psutil.pid_exists(int(pid))  # else it is there, but another user's and hidden
        except (psutil.Error, OSError):
            return False

    def _identity(self) -> tuple[str, str, str]:
        """Pid, start and place of its process; a record of an earlier version has no place."""
        pid, start, place, *_ = [*self.process.split("@"), "", "", ""]
        return pid, start, place


def user_name() -> str:
    """Who runs this process, as the system knows them; a container's user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the first up to Python 3.12
        return f"user {os.getuid()}"


def _process() -> str:
    return f"{os.getpid()}@{_start(os.getpid())}@{_place()}"


def _start(pid: int) -> int:
    """When the process started, in ticks since the boot, which no setting of the clock moves; elsewhere in seconds."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return round(psutil.Process(pid).create_time())
    return int(stat.read_text().rpartition(")")[2].split()[19])


def _place() -> str:
    """Where a pid means this very process: the running system and the pid namespace; a host name proves neither."""
    boot, own, namespace = map(Path, ("/proc/sys/kernel/random/boot_id", "/proc/self", "/proc/self/ns/pid"))
    if boot.exists() and namespace.is_symlink():
        if own.readlink().name != str(os.getpid()):
            return ""  # /proc shows another namespace: what it says of a pid is about another process
        where = f"{boot.read_text()} {namespace.readlink()}"
    elif sys.platform == "darwin":  # no containers share a system here; its boot's time is the boot's name
        where = f"{socket.gethostname()} {psutil.boot_time():.0f}"
    else:
        return ""
    return hashlib.sha256(where.encode()).hexdigest()[:8]
