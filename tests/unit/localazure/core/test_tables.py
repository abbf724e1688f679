"""What local Azure remembers, as models."""

from pathlib import Path

from localazure.arm.documents import Document
from localazure.core.store import Store
from localazure.core.tables import Table


class Note(Document):
    """A document of the tests."""

    first_line: str
    more: str | None = None


def test_what_was_set_is_kept_by_the_names_that_clients_know(tmp_path: Path) -> None:
    """What was never set is left out; what an older version kept beside is passed over."""
    store = Store(tmp_path / "state.sqlite")
    notes = Table(store, "note", Note)
    notes.put("a", Note(first_line="x"))
    assert store.get("note", "a") == {"firstLine": "x"}
    store.put("note", "b", {"firstLine": "y", "more": None, "colour": "red"})
    assert [note.as_json() for note in notes.values()] == [{"firstLine": "x"}, {"firstLine": "y", "more": None}]
    assert [note.first_line for note in notes.last(1)] == ["y"]
    assert (notes.get("c"), [key for key, _ in notes.items("b")]) == (None, ["b"])
    notes.delete("a")
    assert notes.get("a") is None
    store.close()
