"""The history: what was decided and what became of it, each entry bound to the one before by its digest."""

import hashlib
import itertools
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from saferollout.approvals.keys import Keyring
from saferollout.domain.endpoint import Decision, Value

_CONTEXT = b"saferollout history 1\n"
MAX_LENGTH = 4500
"""How long an entry's JSON may be: Prefect keeps no variable of more than 5000 characters."""


class HistoryEvent(Value):
    """Something that the history of an endpoint keeps, such as a decision."""

    kind: Literal["decision", "refusal", "change", "outcome"]
    """An answer that counts, one that does not, somebody else's change of the candidate, or the end of a rollout."""
    at: datetime
    workspace: str
    endpoint: str
    rollout: str
    flow_run: str
    candidate: str
    revision: str
    requester: str = ""
    question: str = ""
    """What was asked: the key under which Prefect keeps the answer."""
    decision: Decision | None = None
    reason: str = ""
    """Why an answer was refused, what was changed, or how the rollout ended."""


class Entry(Value):
    """An event in the history of an endpoint."""

    number: int
    """The entry's place in the history, counted from 1."""
    previous: str
    """The digest of the entry before; empty for the first."""
    event: HistoryEvent
    digest: str
    """SHA-256 over all of the above."""
    signature: str = ""
    """By a worker's key, over the digest; empty where no key is configured."""


class Head(Value):
    """The newest entry, kept apart from the entries, so that one that was removed at the end is missed."""

    number: int
    digest: str
    signature: str = ""


def make_entry(number: int, previous: str, event: HistoryEvent, keys: Keyring) -> Entry:
    """The entry of this number after the one with the digest `previous`."""
    event = _shortened(event)
    digest = _digest(number, previous, event)
    return Entry(number=number, previous=previous, event=event, digest=digest, signature=keys.sign(_message(digest)))


def head_of(entry: Entry, keys: Keyring) -> Head:
    """The head once the entry is the newest."""
    return Head(number=entry.number, digest=entry.digest, signature=keys.sign(_head_message(entry)))


def is_genuine(entry: Entry, keys: Keyring) -> bool:
    """Whether the entry is whole and, where keys are known, signed by one of them."""
    if entry.digest != _digest(entry.number, entry.previous, entry.event):
        return False
    return not keys or keys.has_signed(entry.signature, _message(entry.digest))


def problems(entries: Sequence[Entry], head: Head | None, keys: Keyring) -> list[str]:
    """What is wrong with a history, as sentences; empty if nothing is.

    An entry that was changed, removed or moved is noticed; without keys only if whoever did that did not compute the
    digests anew.
    """
    found = []
    for entry in entries:
        if entry.digest != _digest(entry.number, entry.previous, entry.event):
            found.append(f"entry {entry.number} was changed: its digest does not match what it says")
        elif not is_genuine(entry, keys):
            found.append(f"entry {entry.number} is not signed by a known key")
    if entries and (entries[0].number, entries[0].previous) != (1, ""):
        found.append(f"the history begins with entry {entries[0].number}: earlier ones were removed")
    for earlier, later in itertools.pairwise(entries):
        if later.number != earlier.number + 1:
            found.append(f"entry {later.number} follows entry {earlier.number}: some were removed or moved")
        elif later.previous != earlier.digest:
            found.append(f"entry {later.number} was written after an entry {earlier.number} that is not the one here")
    return found + _head_problems(entries, head, keys)


def _head_problems(entries: Sequence[Entry], head: Head | None, keys: Keyring) -> list[str]:
    if head is None:
        return ["the note of which entry is the newest is missing: newer ones may have been removed"] if entries else []
    known = next((entry for entry in entries if entry.number == head.number), None)
    if known is None:
        return [f"entry {head.number} is missing: the newest entries were removed"]
    if known.digest != head.digest or (keys and not keys.has_signed(head.signature, _head_message(known))):
        return [f"the note of which entry is the newest does not match entry {known.number}: one was replaced"]
    return []


def _digest(number: int, previous: str, event: HistoryEvent) -> str:
    content = json.dumps([number, previous, event.model_dump(mode="json")], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _message(digest: str) -> bytes:
    return _CONTEXT + digest.encode()


def _head_message(entry: Entry) -> bytes:
    return _CONTEXT + f"head {entry.number} {entry.digest}".encode()


def _shortened(event: HistoryEvent) -> HistoryEvent:
    """The event with texts so short that Prefect keeps it; the whole comment is in the run's report."""
    for length in (500, 200, 60, 10):
        if len(json.dumps(event.model_dump(mode="json"))) <= MAX_LENGTH:
            break
        event = HistoryEvent.model_validate(_cut(event.model_dump(mode="json"), length))
    return event


def _cut(content: Any, length: int) -> Any:
    if isinstance(content, dict):
        return {
            key: value[: length - 1] + "…"
            if key in ("comment", "reason") and isinstance(value, str) and len(value) > length
            else _cut(value, length)
            for key, value in content.items()
        }
    return [_cut(item, length) for item in content] if isinstance(content, list) else content
