"""Bodies that are not JSON, such as images, audio, CSV or protobuf: files that recorded requests name."""

import mimetypes
import re
from pathlib import Path, PurePath

from saferollout.config import yaml_file
from saferollout.domain.errors import ConfigError, Problem

MAX_BYTES = 16 * 2**20
"""How large one body may be."""
KEY = "body_file"
OTHER = "application/octet-stream"
"""The type of a file whose ending says nothing."""
_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+( *; *[\x21-\x7e ]+)?", re.ASCII)
_TYPES = mimetypes.MimeTypes()
"""What Python itself knows: what a machine's own lists say differs from one to the next."""


def check_type(content_type: str) -> str:
    """Return a media type as a header takes it.

    Raises:
        ValueError: It is not one; the message is "problem; remedy".
    """
    if content_type and not _TYPE.fullmatch(content_type):
        msg = f"{content_type[:60]!r} is not a media type; write one such as image/png"
        raise ValueError(msg)
    return content_type


def type_of(path: Path) -> str:
    """The media type that a file's ending stands for."""
    return _TYPES.guess_type(path.name)[0] or OTHER


def locate(base: Path, name: str, line: int) -> tuple[Path, int]:
    """Return a body's file, which a line of the file `base` names, and its size in bytes.

    Raises:
        ConfigError: It is not there, lies elsewhere, cannot be used, is empty or is too large.
    """
    given = PurePath(name)
    problem, remedy = "", "name a file in the folder of this one, or below it"
    if given.is_absolute() or ".." in given.parts:
        problem = f"{yaml_file.short(name)} leads out of the folder of this file"
    else:
        full, wrong = yaml_file.locate(base, KEY, Path(name))
        if wrong:
            problem, remedy = wrong.problem, wrong.remedy
        else:
            problem, remedy = _unusable(full)
    if problem:
        raise ConfigError(Problem(yaml_file.display_path(base), KEY, problem, remedy, line))
    return full, full.stat().st_size


def _unusable(path: Path) -> tuple[str, str]:
    """What is wrong with a file that exists, and what would be right; empty where nothing is."""
    shown = yaml_file.display_path(path)
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
    except OSError as error:
        return f"cannot be read: {shown}: {error.strerror}", "make it readable"
    if not size:
        return f"is empty: {shown}", "put a request's body there, or remove the line"
    if size > MAX_BYTES:
        return f"is larger than {MAX_BYTES // 2**20} MiB: {shown}", "record a smaller request"
    return "", ""
