"""Fault points: named places where a test may kill, delay or fail whoever gets there; inert in production.

A test names a folder in the environment variable SAFEROLLOUT_FAULTS before the process starts, and puts a file there
for each fault (`arm`). Whoever gets to a point takes its first file out of the folder, so that each fault strikes once,
however many processes begin again.
"""

import os
import signal
import time
from enum import StrEnum
from pathlib import Path

from saferollout.domain.errors import AzureFailed

FAULTS = "SAFEROLLOUT_FAULTS"
DONE = "done"
"""The folder beside the faults in which those lie that have struck."""

_folder = os.environ.get(FAULTS)
"""Read once: in production a point costs a comparison."""


class AzureChange(StrEnum):
    """The changes of Azure. Each has three points: nothing is sent yet; Azure has taken it; it has ended."""

    CREATE_ENDPOINT = "create endpoint"
    UPDATE_ENDPOINT = "update endpoint"
    DELETE_ENDPOINT = "delete endpoint"
    CREATE_DEPLOYMENT = "create deployment"
    SCALE_DEPLOYMENT = "scale deployment"
    DELETE_DEPLOYMENT = "delete deployment"


class Step(StrEnum):
    """The steps of a rollout. Each has two points: its beginning and its end."""

    PREFLIGHT = "preflight"
    BASELINE = "baseline"
    SCALE_LIVE = "scale live"
    CREATE = "create"
    VERIFY = "verify"
    SMOKE_TEST = "smoke test"
    MIRROR = "mirror"
    NOTE_QUESTION = "note question"
    ASK = "ask"
    SCALE_CANDIDATE = "scale candidate"
    RECHECK = "recheck"
    SHIFT = "shift"
    JUDGE = "judge"
    RETIRE = "retire"
    REPORT = "report"
    ROLL_BACK = "roll back"
    GUARD = "guard"
    RESUME = "resume"
    CLOSE = "close"


BEFORE, SENT, AFTER = "before", "sent", "after"
BEGINS, ENDS = "begins", "ends"


class Fault(StrEnum):
    """What a test may do to whoever gets to a point."""

    KILL = "kill"
    """SIGKILL to its own process."""
    DELAY = "delay"
    """It waits for some seconds."""
    FAIL = "fail"
    """It raises AzureFailed, as if Azure had not answered; another try may succeed."""
    PASS = "pass"  # noqa: S105  # no password
    """Nothing: the next one strikes who gets there the next time."""


def reach(what: AzureChange | Step, where: str) -> None:
    """Say that a point is reached; nothing happens unless a test has armed it.

    Raises:
        AzureFailed: A test wants it.
    """
    if _folder is not None:
        _strike(Path(_folder), what, where)


def arm(
    folder: Path,
    what: AzureChange | Step,
    where: str,
    fault: Fault,
    *,
    seconds: float = 0,
    only: tuple[str, str] | None = None,
) -> None:
    """Put a fault in force, behind those that wait at the same point.

    It strikes `only` processes in whose environment a variable has this value; by default any.
    """
    (folder / DONE).mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.monotonic_ns():020} {what} {where}"
    path.write_text(f"{fault} {seconds} {'='.join(only or ())}")


def _strike(folder: Path, what: AzureChange | Step, where: str) -> None:
    point = f"{what} {where}"
    for path in sorted(folder.glob(f"* {point}")):
        try:
            fault, seconds, *only = path.read_text().split()
            if not all(os.environ.get(name) == value for name, value in (each.split("=", 1) for each in only)):
                continue
            path.rename(folder / DONE / path.name)
        except FileNotFoundError:
            continue  # another process has taken it
        match Fault(fault):
            case Fault.KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            case Fault.DELAY:
                time.sleep(float(seconds))
            case Fault.FAIL:
                msg = f"a test lets it fail: {point}"
                raise AzureFailed(msg, retryable=True)
            case Fault.PASS:
                pass
        return
