"""How two folders that Azure keeps differ: names, and counts of lines."""

import difflib
from collections.abc import Mapping
from pathlib import PurePosixPath

from saferollout.azure.port import Folder, StoredFile
from saferollout.domain.file_change import FileChange, Kind
from saferollout.uploads import BOOKKEEPING

MAX_FILE_BYTES = 2**18
"""The lines of a larger file are not counted."""
MAX_READ_BYTES = 2**22
"""So much is read of both folders together: of what is left, only names and sizes are compared."""
MAX_READ_FILES = 100
"""So many files are read of both: each takes a request."""
MAX_LINES = 5000


def compare(old: Folder, new: Folder) -> list[FileChange]:
    """The files that are not the same in both, by name; within bounds of what is read.

    Raises:
        AzureFailed: One cannot be read.
    """
    return _Comparison(old, new).changes()


class _Comparison:
    """Compares two folders, and counts what it reads."""

    def __init__(self, old: Folder, new: Folder) -> None:
        self._old = old
        self._new = new
        self._before = old.files
        self._after = new.files
        self._left = MAX_READ_BYTES
        self._files_left = MAX_READ_FILES

    def changes(self) -> list[FileChange]:
        names = sorted(_counted(self._before) | _counted(self._after))
        return [found for name in names if (found := self._compare(name))]

    def _compare(self, name: str) -> FileChange | None:
        old, new = self._before.get(name), self._after.get(name)
        if old and new and old.size == new.size and old.md5 and old.md5 == new.md5:
            return None
        is_read = self._may_read(old, new)
        before = self._old.read(name) if old and is_read else b""
        after = self._new.read(name) if new and is_read else b""
        kind = _kind(old, new)
        if is_read:
            if old and new and before == after:
                return None
            added, removed = _count_lines(before, after)
            return FileChange(name=name, kind=kind, added=added, removed=removed)
        if old and new and old.size == new.size and not (old.md5 and new.md5):
            kind = Kind.UNKNOWN
        return FileChange(name=name, kind=kind)

    def _may_read(self, *files: StoredFile | None) -> bool:
        sizes = [file.size for file in files if file]
        if max(sizes) > MAX_FILE_BYTES or sum(sizes) > self._left or len(sizes) > self._files_left:
            return False
        self._left -= sum(sizes)
        self._files_left -= len(sizes)
        return True


def _counted(files: Mapping[str, StoredFile]) -> set[str]:
    return {name for name in files if BOOKKEEPING.isdisjoint(PurePosixPath(name).parts)}


def _kind(old: StoredFile | None, new: StoredFile | None) -> Kind:
    if old and new:
        return Kind.CHANGED
    return Kind.ADDED if new else Kind.REMOVED


def _count_lines(before: bytes, after: bytes) -> tuple[int, int] | tuple[None, None]:
    """How many lines only the new, and only the old text has; None for what is not text, or very long."""
    try:
        old, new = before.decode().splitlines(), after.decode().splitlines()
    except UnicodeDecodeError:
        return None, None
    if b"\0" in before + after or max(len(old), len(new)) > MAX_LINES:
        return None, None
    added = removed = 0
    for tag, i, j, k, m in difflib.SequenceMatcher(None, old, new).get_opcodes():
        if tag != "equal":
            removed, added = removed + j - i, added + m - k
    return added, removed
