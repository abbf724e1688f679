"""What Azure ML's SDK uploads of a file or folder: names and contents, and a digest over both.

The SDK follows links to files and folders, leaves out what the folder's own ``.amlignore`` (or else ``.gitignore``)
excludes, and skips nothing else by itself.
"""

import hashlib
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

IGNORE_FILES = (".amlignore", ".gitignore")
BOOKKEEPING = frozenset({".git", "__pycache__"})
"""Folders that tools rewrite all the time: the SDK uploads them unless they are ignored; no answer depends on them."""


def files(root: Path) -> dict[str, Path]:
    """Every file that the SDK uploads of ``root``, by its name there: from the folder, or the file's own.

    Raises ValueError, "problem; remedy", for what cannot be uploaded: a link that leads in a circle, what is no file,
    what cannot be read, or nothing at all.
    """
    root = root.resolve()
    if not root.is_dir():
        return {root.name: _checked(root)}
    excluded = _excluded(root)
    found = {str(name): _checked(path) for name, path in _walk(root, PurePosixPath(), (), excluded)}
    if not found:
        msg = f"holds no file that would be uploaded; put one there, or correct its {' or '.join(IGNORE_FILES)}"
        raise ValueError(msg)
    return found


def digest(found: Mapping[str, Path]) -> str:
    """SHA-256 over the names and contents of files, bookkeeping aside; no file is held in memory.

    Raises ValueError, "problem; remedy", for a file that cannot be read.
    """
    whole = hashlib.sha256()
    for name, path in sorted(found.items()):
        if BOOKKEEPING.isdisjoint(PurePosixPath(name).parts):
            whole.update(f"{name}\0{_content(path)}\0".encode(errors="surrogateescape"))
    return whole.hexdigest()


def _walk(
    folder: Path, name: PurePosixPath, above: tuple[Path, ...], excluded: Callable[[Path], bool]
) -> Iterator[tuple[PurePosixPath, Path]]:
    """Whatever is no folder and not excluded, by its name; the SDK looks into excluded folders as well."""
    real = folder.resolve()  # the ignore file's rules are about the place that a link leads to
    if real in above:
        msg = f"the link {name} leads back to a folder that it is in; remove it"
        raise ValueError(msg)
    try:
        entries = sorted(real.iterdir())
        folders = {entry for entry in entries if entry.is_dir()}
    except OSError as error:
        if excluded(real / "any"):
            return
        raise _unreadable(folder, error) from None
    for entry in entries:
        if entry in folders:
            yield from _walk(entry, name / entry.name, (*above, real), excluded)
        elif not excluded(entry):
            yield name / entry.name, entry


def _excluded(root: Path) -> Callable[[Path], bool]:
    """Whether the folder's ignore file excludes a path."""
    present = [name for name in IGNORE_FILES if (root / name).exists()]
    if not present:
        return lambda _path: False
    # only where it is needed: the import is slow. The SDK's rules differ from git's, so they are its own
    from azure.ai.ml._utils._asset_utils import get_ignore_file

    rules = get_ignore_file(root)
    try:
        rules.is_file_excluded(root / "any")
    except (OSError, ValueError) as error:
        msg = f"its {present[0]} cannot be used: {error}; correct it"
        raise ValueError(msg) from None
    return rules.is_file_excluded


def _checked(path: Path) -> Path:
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        raise _unreadable(path, error) from None
    if not is_file:
        msg = f"{path} is neither a file nor a folder; remove it, or exclude it in {IGNORE_FILES[0]}"
        raise ValueError(msg)
    return path


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> ValueError:
    return ValueError(f"{path} cannot be read: {error.strerror}; make it readable, or exclude it in {IGNORE_FILES[0]}")
