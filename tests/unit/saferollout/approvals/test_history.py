"""The history: one entry that was changed, removed or moved is noticed."""

import json
from datetime import UTC, datetime

import pytest

from saferollout.approvals.history import MAX_LENGTH, Entry, Head, HistoryEvent, head_of, make_entry, problems
from saferollout.approvals.keys import Keyring
from saferollout.domain.endpoint import Decision
from tests.support.signing import make_keys, make_pem

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEYS = make_keys()


def event(approver: str, comment: str = "") -> HistoryEvent:
    """A decision."""
    decision = Decision(share=10, decision="approve", approver=approver, comment=comment, at=AT, evidence="e")
    return HistoryEvent(
        kind="decision",
        at=AT,
        workspace="w",
        endpoint="shop",
        rollout="r1",
        flow_run="f1",
        candidate="green",
        revision="v1",
        question="q1",
        decision=decision,
    )


def history(keys: Keyring, *approvers: str) -> tuple[list[Entry], Head]:
    """A history of so many decisions, as it comes back from JSON."""
    entries: list[Entry] = []
    for number, approver in enumerate(approvers, 1):
        previous = entries[-1].digest if entries else ""
        entries.append(Entry.model_validate_json(make_entry(number, previous, event(approver), keys).model_dump_json()))
    return entries, head_of(entries[-1], keys)


@pytest.mark.parametrize("keys", [KEYS, Keyring()], ids=["signed", "unsigned"])
def test_what_was_written_holds(keys: Keyring) -> None:
    """Also before the head is written of the newest entry; of nothing there is nothing to say."""
    entries, head = history(keys, "Ann", "Bob", "Cy")

    assert problems(entries, head, keys) == []
    assert problems(entries, head_of(entries[1], keys), keys) == []
    assert problems([], None, keys) == []


@pytest.mark.parametrize("keys", [KEYS, Keyring()], ids=["signed", "unsigned"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_one_changed_or_removed_entry_is_noticed(number: int, keys: Keyring) -> None:
    """Whichever it is."""
    entries, head = history(keys, "Ann", "Bob", "Cy")
    changed = [
        entry.model_copy(update={"event": event("Mallory")}) if entry.number == number else entry for entry in entries
    ]
    removed = [entry for entry in entries if entry.number != number]

    assert f"entry {number} was changed: its digest does not match what it says" in problems(changed, head, keys)
    assert len(problems(removed, head, keys)) == 1


def test_moved_entries_are_noticed() -> None:
    """In another order they contradict themselves."""
    (first, second, third), head = history(KEYS, "Ann", "Bob", "Cy")
    swapped = [first, third.model_copy(update={"number": 2}), second.model_copy(update={"number": 3})]

    assert problems([first, third, second], head, KEYS)
    assert problems(swapped, head, KEYS)


def test_computing_every_digest_anew_is_noticed_where_entries_are_signed() -> None:
    """Without the key nobody signs them; without keys nobody could know."""
    entries, head = history(make_keys(make_pem()), "Mallory", "Bob")

    assert problems(entries, head, KEYS) == [
        "entry 1 is not signed by a known key",
        "entry 2 is not signed by a known key",
        "the note of which entry is the newest does not match entry 2: one was replaced",
    ]
    assert problems(entries, head, Keyring()) == []


def test_a_missing_head_is_noticed() -> None:
    """Otherwise whoever removes it could remove the newest entries, too."""
    entries, _ = history(KEYS, "Ann")

    assert problems(entries, None, KEYS) == [
        "the note of which entry is the newest is missing: newer ones may have been removed"
    ]


@pytest.mark.parametrize("comment", ["x" * 500, "ä" * 500, "\U0001f600" * 500, '"\\' * 250])
def test_every_entry_fits_where_it_is_kept(comment: str) -> None:
    """The comment is cut if need be, and nothing else."""
    entry = make_entry(1, "", event("\U0001f600" * 60, comment), KEYS)

    assert len(json.dumps(entry.model_dump(mode="json"))) < 5000
    assert entry.event.decision is not None
    assert entry.event.decision.approver == "\U0001f600" * 60
    assert comment.startswith(entry.event.decision.comment.removesuffix("…"))
    assert MAX_LENGTH < 5000
