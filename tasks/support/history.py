"""The history of an endpoint, in Prefect's variables: all workers reach them, and no retention deletes them.

Which entry comes next is decided by which variable was made first, so that two writers leave one chain.
"""

import hashlib
import re
from typing import Any, Literal

from pydantic import ValidationError

from saferollout.approvals.history import Entry, Head, HistoryEvent, head_of, is_genuine, make_entry
from saferollout.approvals.keys import Keyring
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import Refused
from saferollout.rollout.record import now
from saferollout.rollout.rollout import Rollout
from tasks.support import variables
from tasks.support.this_run import run_id

RECENT = 200
"""How many entries a rollout looks at for its own."""
WRITERS = 100
"""How many may be quicker: a loop without an end would keep a rollout for ever."""


def event_of(
    rollout: Rollout,
    kind: Literal["decision", "refusal", "change", "outcome"],
    reason: str,
    decision: Decision | None = None,
    question: str = "",
) -> HistoryEvent:
    """An event of this rollout for the history."""
    return HistoryEvent(
        kind=kind,
        at=now(),
        workspace=rollout.project.config.workspace.name,
        endpoint=rollout.endpoint,
        rollout=rollout.id,
        flow_run=str(run_id()),
        candidate=rollout.candidate,
        revision=rollout.revision,
        requester=rollout.requester.name,
        question=question,
        decision=decision,
        reason=reason,
    )


async def append(event: HistoryEvent, keys: Keyring) -> Entry:
    """Add an event to the history of its endpoint; the same event is not added once more right after itself.

    Raises:
        Refused: What somebody else has written there leaves no room.
    """
    prefix = _prefix(event.endpoint)
    for _ in range(WRITERS):
        number, last = await _last(prefix)
        entry = make_entry(number + 1, last.digest if last else "", event, keys)
        if last and last.event == entry.event:  # it was made, and the reply got lost
            entry = last
            break
        if await variables.create(f"{prefix}{entry.number:08}", entry.model_dump(mode="json")):
            break
    else:
        msg = (
            f"the history of {event.endpoint} takes no entry: somebody else has written variables {prefix}… to Prefect"
        )
        raise Refused(msg)
    await _set_head(prefix, entry, keys)
    return entry


async def append_end(event: HistoryEvent, keys: Keyring) -> Entry:
    """Add the end of a rollout to the history of its endpoint, unless it is there; see `append`."""
    entries, _ = await read_history(event.endpoint, RECENT)
    for entry in entries:
        same = (entry.event.kind, entry.event.rollout) == (event.kind, event.rollout)
        if same and is_genuine(entry, keys):
            return entry
    return await append(event, keys)


async def _set_head(prefix: str, entry: Entry, keys: Keyring) -> None:
    """Let the head name the newest entry: of two writers the one may write its entry first, and the head last."""
    while True:
        await variables.put(f"{prefix}head", head_of(entry, keys).model_dump(mode="json"))
        _, last = await _last(prefix)
        if last is None or last.number <= entry.number or not is_genuine(last, keys):
            return
        entry = last


async def read_history(endpoint: str, limit: int | None = None) -> tuple[list[Entry], Head | None]:
    """The entries that can be read, in order, and the head; the newest `limit` ones only, if that is given."""
    prefix = _prefix(endpoint)
    found = await variables.newest(prefix, limit)
    if limit and sum(_number(name, prefix) is None for name in found) > 1:  # others hide entries behind their own
        found = await variables.newest(prefix)
    head = _read(Head, found.pop(f"{prefix}head", None))
    entries = [_read(Entry, found[name]) for name in reversed(found)]
    return [entry for entry in entries if entry], head


async def endpoints() -> list[str]:
    """The endpoints that have a history."""
    found = await variables.newest("saferollout_history_")
    entries = (_read(Entry, value) for name, value in found.items() if not name.endswith("head"))
    return sorted({entry.event.endpoint for entry in entries if entry})


async def rulings(endpoint: str, rollout: str, keys: Keyring) -> dict[str, HistoryEvent]:
    """What became of the answers to this rollout's questions, by the question's key."""
    entries, _ = await read_history(endpoint, RECENT)
    return {
        entry.event.question: entry.event
        for entry in entries
        if entry.event.rollout == rollout and entry.event.kind != "outcome" and is_genuine(entry, keys)
    }


async def _last(prefix: str) -> tuple[int, Entry | None]:
    """The newest entry's number, 0 without one, and the entry, if it can be read."""
    for limit in (2, None):  # the head and the entry before it, unless somebody else has put variables between them
        for name, value in (await variables.newest(prefix, limit)).items():
            if (number := _number(name, prefix)) is not None:
                return number, _read(Entry, value)
    return 0, None


def _number(name: str, prefix: str) -> int | None:
    """The number of the entry that a variable holds; None if it holds none."""
    digits = re.fullmatch(r"\d{8}", name.removeprefix(prefix))
    return int(digits[0]) if digits else None


def _read(kind: Any, value: Any) -> Any:
    try:
        return kind.model_validate(value)
    except ValidationError:
        return None


def _prefix(endpoint: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", endpoint.lower()).strip("-")
    return f"saferollout_history_{words}-{hashlib.sha256(endpoint.lower().encode()).hexdigest()[:6]}_"
