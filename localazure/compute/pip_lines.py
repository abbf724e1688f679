"""The lines that pip is given: those that lead to files, which an environment has only where they come with a model."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from localazure.arm.errors import BuildFailed

_OPTION = re.compile(r"(?:(-[rcef])\s*|(--requirement|--constraint|--editable|--find-links)(?:\s+|\s*=\s*))(.+)")
_LONG = {"-r": "--requirement", "-c": "--constraint", "-e": "--editable", "-f": "--find-links"}
_URL = re.compile(r"(?:[\w.-]+(?:\[[^\]]*\])?\s*@\s*)?(?:git\+|hg\+|svn\+|bzr\+)?\w+://")
_LOCAL = re.compile(r"[.~/]|[^\s;@]*/|[^\s;@]*\.(?:whl|zip|tar\.gz|tgz|tar\.bz2)\b|(?:[^;]*@\s*)?file:", re.IGNORECASE)
"""Paths as pip takes them for such. `a/b` has no other meaning where there is no URL."""
_SUFFIX = re.compile(r"(\[[^\]]*\])?(\s+[;#].*)?$")
"""The extras and the marker after a path."""


_REMEDIES = {
    "--requirement": "write that file's lines in its place",
    "--constraint": "write the versions into the packages' own lines",
}
_REMEDY = "put the code into code_configuration, or give a package's name or URL"


@dataclass
class PipLines:
    """What there is to install, once every file that the lines lead to has been read or found."""

    requirements: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    """Files and folders that requirements lead to."""


def read(lines: list[str], folder: Path | None) -> PipLines:
    """Return what these lines ask for; they lead to files below `folder`, and to none where that is None.

    Raises:
        BuildFailed: They lead to a file that is not there.
    """
    found = PipLines()
    _read(lines, folder, folder, found, ())
    return found


def distribution(requirement: str) -> str:
    """Return the name that the requirement begins with, as package indexes write it; empty where it has none."""
    match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", requirement)
    return re.sub(r"[-_.]+", "-", match[1]).lower() if match else ""


def _read(
    lines: list[str], folder: Path | None, here: Path | None, found: PipLines, within: tuple[Path, ...], to: str = ""
) -> None:
    """Read lines of a file in the folder `here`; `to` is the option that led to it, `within` the files on the way."""
    for line in lines:
        option = _OPTION.match(line)
        kind, value = (_LONG.get(option[1], option[2]), option[3].strip(" \"'")) if option else ("", line)
        if not _is_local(kind, value):
            (found.constraints if to == "--constraint" else found.requirements).append(line)
        elif kind in ("--requirement", "--constraint"):
            file = _locate(line, kind, value, folder, here)
            if file not in within:
                to_next = "--constraint" if "--constraint" in (kind, to) else ""
                _read(list(text_lines(file)), folder, file.parent, found, (*within, file), to_next)
        else:
            suffix = _SUFFIX.search(value)
            rest = suffix[0] if suffix else ""
            path = _locate(line, kind, value.removesuffix(rest), folder, here)
            found.files.append(path)
            # not --editable, for the environment outlives the model's folder
            found.requirements.append(f"--find-links {path}" if kind == "--find-links" else f"{path}{rest}")


def text_lines(file: Path) -> Iterator[str]:
    """Yield the file's lines as pip reads them: without comments, and joined where one goes on in the next."""
    for line in re.sub(r"\s*\\\n\s*", " ", file.read_text(errors="replace")).splitlines():
        if text := re.sub(r"(^|\s)#.*$", "", line).strip():
            yield text


def _is_local(kind: str, value: str) -> bool:
    if _URL.match(value):
        return "file://" in value
    return bool(kind) or bool(_LOCAL.match(value))


def _locate(line: str, kind: str, value: str, folder: Path | None, here: Path | None) -> Path:
    if folder is None or here is None:
        raise BuildFailed(
            f"the conda file's pip part has '{line}', but Azure ML gets the conda file alone, without the files beside"
            f" it: {_REMEDIES.get(kind, _REMEDY)}"
        )
    try:
        path = (here / value).resolve()
        there = path.is_file() if kind in _REMEDIES else path.exists()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, a circle of links
        there = False
    if not there or "file:" in value or not path.is_relative_to(folder.resolve()):
        raise BuildFailed(
            f"'{line}' leads to nothing in the model's folder: give a path in it, relative to the file with that line"
        )
    return path
