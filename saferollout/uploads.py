"""What Azure ML's SDK uploads of a file or folder: names and contents, and a digest over both.

The SDK follows links to files and folders and leaves out what the folder's own `.amlignore` (or else `.gitignore`)
excludes. Its own functions are asked, so that the revision cannot be of other files than those that are uploaded.
"""

import hashlib
import importlib
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

CLOUD = ("ARM_CLOUD_METADATA_URL", "AZUREML_CURRENT_CLOUD")
IGNORE_FILES = (".amlignore", ".gitignore")
BOOKKEEPING = frozenset({".git", "__pycache__"})
"""Folders that tools rewrite all the time: the SDK uploads them unless they are ignored; no answer depends on them."""


def import_sdk() -> None:
    """Import Azure ML's SDK, which is slow, without a call to Azure.

    It asks the address in ARM_CLOUD_METADATA_URL, about the cloud of AZUREML_CURRENT_CLOUD, for defaults that are not
    used here; its client asks again.
    """
    if "azure.ai.ml" in sys.modules:
        return
    set_aside = {name: os.environ.pop(name) for name in CLOUD if name in os.environ}
    try:
        importlib.import_module("azure.ai.ml")
    finally:
        os.environ.update(set_aside)


def files(root: Path) -> dict[str, Path]:
    """Every file that the SDK uploads of `root`, by its name there: from the folder, or the file's own.

    Raises:
        ValueError: It cannot be uploaded: a link leads in a circle, something is not a file or cannot be read, or there
            is nothing at all. The message is "problem; remedy".
    """
    import_sdk()
    from azure.ai.ml._utils._asset_utils import get_ignore_file, get_upload_files_from_folder

    root = root.resolve()
    if not root.is_dir():
        _check_file(root)
        return {root.name: root}
    rules = get_ignore_file(root)
    try:
        rules.is_file_excluded(root / "any")
    except (OSError, ValueError) as error:
        msg = f"its {Path(rules.path).name} cannot be used: {error}; correct it"
        raise ValueError(msg) from None
    _check_tree(root, rules)
    taken: Any = get_upload_files_from_folder(root, ignore_file=rules)  # pairs, whatever its signature says
    found = {name: Path(path) for path, name in taken}
    if not found:
        msg = f"holds no file that would be uploaded; put one there, or correct its {' or '.join(IGNORE_FILES)}"
        raise ValueError(msg)
    return found


def digest(found: Mapping[str, Path]) -> str:
    """SHA-256 over the names and contents of files, bookkeeping aside; no file is held in memory.

    Raises:
        ValueError: A file cannot be read; the message is "problem; remedy".
    """
    whole = hashlib.sha256()
    for name, path in sorted(found.items()):
        if BOOKKEEPING.isdisjoint(PurePosixPath(name).parts):
            whole.update(f"{name}\0{_content(path)}\0".encode(errors="surrogateescape"))
    return whole.hexdigest()


def check_noticed(root: Path, found: Mapping[str, Path]) -> None:
    """Check that Azure would get each changed file of a model or a build context anew.

    The SDK knows those, unlike code, by a hash that leaves excluded folders out, even where a rule takes files of them
    in again: it would go on with what it has uploaded of them before.

    Raises:
        ValueError: Azure would not get them; the message is "problem; remedy".
    """
    from azure.ai.ml._utils._asset_utils import get_ignore_file

    root = root.resolve()
    rules = get_ignore_file(root)
    for name in sorted({parent for file in found for parent in PurePosixPath(file).parents if parent.name}):
        if BOOKKEEPING.isdisjoint(name.parts) and rules.is_file_excluded((root / name.parent).resolve() / name.name):
            msg = (
                f"{Path(rules.path).name} excludes {name}, but the SDK uploads files of it and does not notice when "
                f"they change; add !{name} to it, or exclude its files as well"
            )
            raise ValueError(msg)


def _check_tree(root: Path, rules: Any) -> None:
    """Look for what makes the SDK hang, a circle of links or a pipe, and for folders that it silently leaves out.

    Raises:
        ValueError: There is something of the kind; the message is "problem; remedy".
    """

    def fail(error: OSError) -> None:
        if not rules.is_file_excluded(Path(error.filename).resolve() / "any"):
            raise _unreadable(Path(error.filename), error)

    above: dict[str, tuple[Path, ...]] = {str(root): (root,)}
    for folder, folders, names in os.walk(root, followlinks=True, onerror=fail):
        parents = above.pop(folder)
        for name in folders:
            path = Path(folder, name)
            if (real := path.resolve()) in parents:
                msg = f"the link {path.relative_to(root)} leads back to a folder that it is in; remove it"
                raise ValueError(msg)
            above[str(path)] = (*parents, real)
        for name in names:
            if not rules.is_file_excluded(parents[-1] / name):
                _check_file(Path(folder, name))


def _check_file(path: Path) -> None:
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        raise _unreadable(path, error) from None
    if not is_file:
        msg = f"{path} is neither a file nor a folder; remove it, or exclude it in {IGNORE_FILES[0]}"
        raise ValueError(msg)


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> ValueError:
    return ValueError(f"{path} cannot be read: {error.strerror}; make it readable, or exclude it in {IGNORE_FILES[0]}")
