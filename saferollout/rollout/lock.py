"""The lock: an endpoint's record, which one rollout at a time can write.

Azure has no `If-Match`: who has read that the endpoint is free may write after somebody else did, and replaces what
that one wrote. So whoever writes a record waits until all that was sent on the strength of an earlier reading has
arrived (`Azure.settle`), and reads once more. The last write stands, and its writer alone finds it:

- Whoever wrote earlier finds the other's record and is refused. It has changed nothing: its own record is gone, and
  traffic and instances are those of before.
- Whoever reads after a write finds a record that is not its own, and does not write at all.

There is no rule by which the earlier one could win, as by the lower id: it would have to write again, maybe after the
other one's last look, and then both would have won.

A write that is on its way for longer than that, as one that Azure throttles, replaces a record whose owner is at work
already. That one finds out before its next change (`Rollout.own_record`), and ends as *Lost*: only one ever goes on.
"""

import time

from saferollout.azure.workspace import Workspace
from saferollout.domain.errors import Drifted, Taken
from saferollout.rollout import drift
from saferollout.rollout.owner import Owner
from saferollout.rollout.record import Phase, Record, without_record


def who_has_it(endpoint: str, record: Record | None) -> str:
    """What to say to whoever comes second."""
    if record is None:
        return f"another rollout of {endpoint} began, and was rolled back, at this very moment; start again"
    return (
        f"rollout {record.rollout} of {endpoint} is unfinished: begun by {record.owner.name} "
        f"at {record.since:%Y-%m-%d %H:%M:%S %Z}, candidate {record.candidate} at {record.share}% "
        f"(flow run {record.owner.flow_run}); let it end, or roll it back with "
        f"`saferollout rollback {endpoint}`"
    )


def rival(record: Record | None) -> dict[str, str]:
    """What `Taken` says of the other rollout to programs; nothing where it is not rolling forward."""
    if record is None or record.phase is not Phase.ROLLING:
        return {}
    return {"flow_run": record.owner.flow_run, "revision": record.revision, "model": record.model}


def claim(workspace: Workspace, endpoint: str, record: Record) -> None:
    """Write the record of a new rollout.

    Raises:
        Taken: Another one came first, or last.
        Drifted: The baseline has other traffic by now.
    """

    def write(tags: dict[str, str]) -> dict[str, str]:
        there = Record.from_tags(tags)
        if there and there.unfinished and there.owner != record.owner:
            raise Taken(who_has_it(endpoint, there), **rival(there))
        return without_record(tags) | record.to_tags()

    traffic = record.traffic()
    began = time.monotonic()
    try:
        workspace.update_endpoint(endpoint, traffic=traffic, check=drift.expecting(traffic), tags=write)
    except Drifted:
        there = Record.from_tags(workspace.settled(endpoint).tags)
        if there and there.unfinished and there.rollout != record.rollout:
            raise Taken(
                who_has_it(endpoint, there), **rival(there)
            ) from None  # it was read back with the other's record
        raise
    _check_settled(workspace, endpoint, record, began)


def take_over(workspace: Workspace, endpoint: str, record: Record, owner: Owner) -> Record:
    """Give the record another owner, all else as it is by then.

    Raises:
        Taken: It is no longer the one to take over.
    """
    mine = record
    lost = Taken(
        f"rollout {record.rollout} of {endpoint} was rolled back or taken over at this very moment; start again"
    )

    def write(tags: dict[str, str]) -> dict[str, str]:
        nonlocal mine
        there = Record.from_tags(tags)
        if (
            there is None
            or (there.rollout, there.phase) != (record.rollout, Phase.ROLLING)
            or there.owner not in (record.owner, owner)
        ):
            raise lost
        mine = there.model_copy(update={"owner": owner})
        return without_record(tags) | mine.to_tags()

    began = time.monotonic()
    try:
        workspace.update_endpoint(endpoint, tags=write)
    except Drifted:
        raise lost from None  # it was read back with the other's owner
    _check_settled(workspace, endpoint, mine, began)
    return mine


def _check_settled(workspace: Workspace, endpoint: str, record: Record, began: float) -> None:
    """Return if the record still stands when everything that was on its way has arrived.

    Raises:
        Taken: Another one is there.
    """
    workspace.settle(time.monotonic() - began)
    there = Record.from_tags(workspace.settled(endpoint).tags)
    if there is None or (there.rollout, there.owner, there.phase) != (record.rollout, record.owner, Phase.ROLLING):
        raise Taken(who_has_it(endpoint, there), **rival(there))
