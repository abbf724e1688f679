"""How two folders of code differ: names and counts of lines, within bounds."""

import hashlib
from collections.abc import Mapping

from saferollout.azure import folders
from saferollout.azure.memory_state import MemoryFolder
from saferollout.azure.port import StoredFile
from saferollout.domain.file_change import FileChange, Kind


class Folder:
    """Files, of which Azure may not know the digest; it counts what is read."""

    def __init__(self, contents: dict[str, bytes], *, with_md5: bool = True) -> None:
        self._contents = contents
        self._with_md5 = with_md5
        self.read_names: list[str] = []

    @property
    def files(self) -> Mapping[str, StoredFile]:
        """See the port."""
        return {
            name: StoredFile(len(content), hashlib.md5(content, usedforsecurity=False).digest() * self._with_md5)
            for name, content in self._contents.items()
        }

    def read(self, name: str) -> bytes:
        """See the port."""
        self.read_names.append(name)
        return self._contents[name]


def test_added_removed_and_changed_files() -> None:
    """With how many lines; files that tools rewrite all the time do not count, binary ones have no lines."""
    old = MemoryFolder({"score.py": b"a\nb\nc\n", "old.py": b"1\n2\n", "m.bin": b"\0\xff", "__pycache__/x.pyc": b"1"})
    new = MemoryFolder({"score.py": b"a\nB\nc\nd\n", "lib/new.py": b"1\n", "m.bin": b"\0\xfe", ".git/HEAD": b"2"})

    assert folders.compare(old, new) == [
        FileChange(name="lib/new.py", kind=Kind.ADDED, added=1, removed=0),
        FileChange(name="m.bin", kind=Kind.CHANGED),
        FileChange(name="old.py", kind=Kind.REMOVED, added=0, removed=2),
        FileChange(name="score.py", kind=Kind.CHANGED, added=2, removed=1),
    ]
    assert folders.compare(old, old) == []


def test_only_what_must_be_read_is_read() -> None:
    """Nothing whose digest is the same; without digests, each file of the same size."""
    with_digests = Folder({"a": b"1", "b": b"2"}), Folder({"a": b"1", "b": b"3"})
    without = Folder({"a": b"1", "b": b"2"}, with_md5=False), Folder({"a": b"1", "b": b"3"}, with_md5=False)
    wanted = [FileChange(name="b", kind=Kind.CHANGED, added=1, removed=1)]

    assert folders.compare(*with_digests) == folders.compare(*without) == wanted
    assert [folder.read_names for folder in (*with_digests, *without)] == [["b"], ["b"], ["a", "b"], ["a", "b"]]


def test_large_files_are_not_read() -> None:
    """Whether one of the same size changed is then said to be unknown, unless Azure knows the digest."""
    large = folders.MAX_FILE_BYTES + 1
    old = Folder({"same": b"a" * large, "other": b"a" * large}, with_md5=False)
    new = Folder({"same": b"b" * large, "other": b"a" * (large + 1)}, with_md5=False)
    known = Folder({"same": b"a" * large}), Folder({"same": b"b" * large})

    assert folders.compare(old, new) == [
        FileChange(name="other", kind=Kind.CHANGED),
        FileChange(name="same", kind=Kind.UNKNOWN),
    ]
    assert folders.compare(*known) == [FileChange(name="same", kind=Kind.CHANGED)]
    assert not old.read_names + new.read_names


def test_no_more_is_read_than_fits() -> None:
    """Many files, or much in them: what comes later is compared by digest alone."""
    for size, most in ((folders.MAX_FILE_BYTES, folders.MAX_READ_BYTES // folders.MAX_FILE_BYTES), (1, 100)):
        old = Folder({f"f{number:03}": b"a" * size for number in range(120)})
        new = Folder({f"f{number:03}": b"b" * size for number in range(120)})

        found = folders.compare(old, new)

        assert [change.kind for change in found] == [Kind.CHANGED] * 120
        assert len(old.read_names + new.read_names) == most
        assert (found[0].added, found[-1].added) == (1, None)
