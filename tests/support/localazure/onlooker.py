"""A scoring script that answers what it sees of its process."""

import faulthandler
import os
import resource
import signal
import sys

modules = sorted(sys.modules)  # before anything else here is imported


def init() -> None:
    """Leave a line in the log."""
    print("looking on")


def run(raw_data: str) -> object:  # noqa: ARG001 - the server goes by the name
    """Return what the process is like."""
    import gc
    import logging
    import site
    import sysconfig
    from pathlib import Path

    return {
        "arguments": sys.argv,
        "environment": dict(os.environ),
        "executable": sys.executable,
        "faults": faulthandler.is_enabled(),
        "files": _files(os.getpid()),
        "flags": str(sys.flags),
        "folder": str(Path.cwd()),
        "garbage": [gc.isenabled(), gc.get_threshold()],
        "handlers": [str(signal.getsignal(number)).partition(" at ")[0] for number in sorted(signal.valid_signals())],
        "homes": [str(Path.home()), site.USER_BASE, site.USER_SITE, sysconfig.get_config_var("userbase")],
        "leads": [os.getsid(0), os.getpgid(0)] == [os.getppid()] * 2,
        "limits": [resource.getrlimit(number) for number in range(16)],
        "loggers": sorted(logging.root.manager.loggerDict),
        "modules": modules,
        "output": [sys.stdout.encoding, sys.stdout.errors, repr(sys.stdout)],
        "parent's files": _files(os.getppid()),
        "path": sys.path,
        "signals": [_signals(os.getpid()), _signals(os.getppid())],
        "warnings": sys.warnoptions,
    }


def _files(pid: int) -> list[str]:
    """What is open, without numbers that differ from process to process."""
    from pathlib import Path

    found = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(path.readlink())
        except OSError:  # by which the others were listed
            continue
        found.append(target.partition(":[")[0].partition("gunicorn-")[0])
    return sorted(found)


def _signals(pid: int) -> list[int]:
    """What is blocked, ignored and caught, real-time signals aside, which the C library uses."""
    from pathlib import Path

    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return [int(lines[name], 16) & 0x7FFFFFFF for name in ("SigBlk", "SigIgn", "SigCgt")]
