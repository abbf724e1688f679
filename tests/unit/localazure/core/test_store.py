"""What local Azure remembers."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localazure.core.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty one."""
    opened = Store(tmp_path / "state.sqlite")
    yield opened
    opened.close()


def test_documents_are_copies(store: Store) -> None:
    """Changing what was read changes nothing until it is put back."""
    store.put("endpoint", "a", {"tags": {"x": "1"}})
    read = store.get("endpoint", "a")
    assert read is not None
    read["tags"]["x"] = "2"
    assert store.get("endpoint", "a") == {"tags": {"x": "1"}}


def test_items_keep_their_order_and_take_prefixes_literally(store: Store) -> None:
    """Oldest first, also after an update; `%` and `_` are characters like others."""
    for key in ("b/1", "a_/1", "aX/1", "b/2"):
        store.put("models", key, {"key": key})
    store.put("models", "b/1", {"key": "again"})
    assert [key for key, _ in store.items("models")] == ["b/1", "a_/1", "aX/1", "b/2"]
    assert [key for key, _ in store.items("models", "a_")] == ["a_/1"]
    assert [document["key"] for _, document in store.items("models", "b/")] == ["again", "b/2"]


def test_kinds_are_apart_and_deletion_forgives(store: Store) -> None:
    """The same key in two kinds is two documents."""
    store.put("endpoint", "a", {})
    store.delete("deployment", "a")
    assert store.get("endpoint", "a") == {}
    store.delete("endpoint", "a")
    assert store.get("endpoint", "a") is None


def test_what_was_written_is_there_after_a_restart(store: Store, tmp_path: Path) -> None:
    """Even when the first process never closed the file."""
    store.put("endpoint", "a", {"n": 1})
    second = Store(tmp_path / "state.sqlite")
    assert second.get("endpoint", "a") == {"n": 1}
    second.close()


def test_a_transaction_is_all_or_nothing(store: Store) -> None:
    """A block that raises has written nothing."""
    with contextlib.suppress(RuntimeError), store.transaction():
        store.put("endpoint", "a", {})
        store.put("operation", "b", {})
        raise RuntimeError
    assert (store.get("endpoint", "a"), store.get("operation", "b")) == (None, None)
    with store.transaction():
        store.put("endpoint", "a", {})
    assert store.get("endpoint", "a") == {}


def test_endpoints_can_be_read_as_they_were(store: Store) -> None:
    """Before they were made, changed or deleted; other documents are always as they are."""
    moments = [time.monotonic()]
    for body in ({"n": 1}, {"n": 2}):
        store.put("endpoint", "a", body)
        store.put("operation", "a", body)
        moments.append(time.monotonic())
    store.delete("endpoint", "a")
    seen = []
    for moment in moments:
        seen.append((store.get("endpoint", "a", moment), list(store.items("endpoint", as_of=moment))))
        assert store.get("operation", "a", moment) == {"n": 2}
    assert seen == [(None, []), ({"n": 1}, [("a", {"n": 1})]), ({"n": 2}, [("a", {"n": 2})])]
    assert store.get("endpoint", "a") is None


def test_the_last_documents_come_first(store: Store) -> None:
    """As many as were asked for."""
    for number in range(5):
        store.put("operation", str(number), {"n": number})
    assert [found["n"] for found in store.last("operation", 2)] == [4, 3]
