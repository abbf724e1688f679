"""How a file differs between two folders."""

from enum import StrEnum

from saferollout.domain.endpoint import Value


class Kind(StrEnum):
    """What became of a file."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    UNKNOWN = "not compared"
    """It has the same size in both folders, and was too large to read."""


class FileChange(Value):
    """A file that is not the same in two folders; nothing of what is in it, as that may be a secret."""

    name: str
    """Its path in the folder."""
    kind: Kind
    added: int | None = None
    """Lines of text that only the new one has; None where they were not counted."""
    removed: int | None = None
    """Lines of text that only the old one has; None where they were not counted."""
