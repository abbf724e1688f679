"""Codes that approvers give: each works once, whatever worker sees it, and five wrong ones lock the approver."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from saferollout.approvals import totp
from saferollout.domain.text import one_line
from saferollout.rollout.record import now
from tasks.support import variables
from tasks.support.keys import totp_secret

LOCK = timedelta(seconds=totp.LOCK_S)
KEPT_S = 7 * 86400
"""How long a used code is remembered: an answer may wait that long until a worker takes it up."""


async def refuse_code(approver: str, code: str, at: datetime, question: str) -> str:
    """Return why a code does not prove the approver; empty if it does, and then it never will again.

    Args:
        approver: Whose code it should be.
        code: What was given.
        at: When the answer was given.
        question: What it answers; the same answer may be checked twice, as after a crash.
    """
    who = one_line(approver)
    if (secret := await totp_secret(approver)) is None:
        return f"{who} is not enrolled for codes (`saferollout approver enroll`)"
    if await _is_locked(approver, totp.MAX_WRONG):
        return _locked(who)
    name = totp.short_name(approver)
    attempt = f"saferollout_wrong_{name}_{uuid4().hex}"
    await variables.create(attempt, now().isoformat())  # first noted, then tried: many at once are not more tries
    if await _is_locked(approver, totp.MAX_WRONG + 1):
        return _locked(who)
    if (step := totp.step_of(secret, code, at)) is None:
        return f"the code of {who} is wrong, or too old"
    await variables.delete(attempt)
    used = f"saferollout_code_{name}_{step}"
    if not await variables.create(used, question) and await variables.get(used) != question:
        return f"the code of {who} has been used before; wait for the next one"
    await _forget(name, step)
    return ""


def _locked(who: str) -> str:
    return f"{who} is locked after {totp.MAX_WRONG} wrong codes; try again in {totp.LOCK_S // 60} minutes"


async def _is_locked(approver: str, limit: int) -> bool:
    """Whether so many wrong codes were given in a short time, and the last one lately; older ones are deleted."""
    tries = await variables.newest(f"saferollout_wrong_{totp.short_name(approver)}_")
    times = {name: _time(value) for name, value in tries.items()}
    lately = sorted(at for at in times.values() if at > now() - 2 * LOCK)
    for name, at in times.items():
        if at not in lately:
            await variables.delete(name)
    return len(lately) >= limit and lately[-1] - lately[-limit] <= LOCK and lately[-1] > now() - LOCK


def _time(value: object) -> datetime:
    """When a wrong code was given; what is not such a note counts as very old."""
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)


async def _forget(name: str, step: int) -> None:
    """Delete what is remembered of codes that can no longer be given."""
    prefix = f"saferollout_code_{name}_"
    for used in await variables.newest(prefix):
        number = used.removeprefix(prefix)
        if number.isdecimal() and int(number) < step - KEPT_S // totp.STEP_S:
            await variables.delete(used)
