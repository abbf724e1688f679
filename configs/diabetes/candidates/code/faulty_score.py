"""The scoring script with one fault, named by FAULT: candidates that a rollout must not let through."""

import itertools
import os
import signal
import time

import score

FAULT = os.environ["FAULT"]

SLOW_SECONDS = 0.4
REQUESTS_BEFORE_CRASH = 60  # more than a smoke test sends
REQUESTS_BEFORE_USERS = 60  # a smoke test, and another one before the first share
LATE_SECONDS = 120

requests = itertools.count(1)
users_since: float | None = None


def init() -> None:
    if FAULT == "broken":
        raise RuntimeError("FAULT=broken: init() raises")
    if FAULT not in FAULTS:
        raise ValueError(f"FAULT={FAULT} is not one of broken, {', '.join(FAULTS)}")
    score.init()


def run(raw_data: str) -> list[float]:
    return FAULTS[FAULT](raw_data)


def errors(raw_data: str) -> list[float]:
    """Fail for a group of patients that is too small for a smoke test to meet."""
    rows = score.parse(raw_data)
    age, sex = rows[:, 0], rows[:, 1]
    if ((age < 35) & (sex == 1)).any():
        raise LookupError("FAULT=errors: no reference values for sex 1, age under 35")
    return score.predict(rows)


def slow(raw_data: str) -> list[float]:
    time.sleep(SLOW_SECONDS)
    return score.run(raw_data)


def wrong(raw_data: str) -> list[float]:
    return score.predict(score.parse(raw_data)[:, ::-1])


def crash(raw_data: str) -> list[float]:
    if next(requests) > REQUESTS_BEFORE_CRASH:
        # Like the kernel when memory runs out: were it this process alone, the server would replace it at once and
        # users would hardly notice.
        os.kill(os.getppid(), signal.SIGKILL)
        os._exit(1)
    return score.run(raw_data)


def late(raw_data: str) -> list[float]:
    """Fail for the same patients, but not before two minutes have passed since users came."""
    global users_since
    if users_since is None and next(requests) > REQUESTS_BEFORE_USERS:
        users_since = time.monotonic()
    if users_since is not None and time.monotonic() - users_since > LATE_SECONDS:
        return errors(raw_data)
    return score.run(raw_data)


FAULTS = {"errors": errors, "slow": slow, "wrong": wrong, "crash": crash, "late": late}
