"""Read YAML files for people: every mistake becomes a :class:`Problem` that names file, key, problem and remedy."""

import dataclasses
import errno
import os
import re
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from saferollout.config import bounded_yaml, notify
from saferollout.domain.errors import ConfigError, Problem

SHOWN = 300
"""How many characters of a path a problem shows."""
MOST = 50
"""How many problems of one file are listed."""
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_REMEDIES = {
    "bool_parsing": "write true or false",
    "bool_type": "write true or false",
    "enum": "write {expected}",
    "float_parsing": "write a number",
    "float_type": "write a number",
    "greater_than": "write a number above {gt:g}",
    "greater_than_equal": "write {ge:g} or more",
    "int_from_float": "write a whole number",
    "int_parsing": "write a whole number",
    "int_type": "write a whole number",
    "less_than": "write a number below {lt:g}",
    "less_than_equal": "write {le:g} or less",
    "model_type": "write `key: value` lines under it",
    "path_type": "write a file's path",
    "string_pattern_mismatch": "write letters, digits and _ . - only, a letter or digit first",
    "string_too_long": "write at most {max_length} characters",
    "string_type": "write text, in quotes if it is all digits",
    "too_long": "write at most {max_length} entries",
    "tuple_type": "write a list",
}


def read(path: Path) -> dict[str, Any]:
    """Return the mapping that `path` holds.

    Raises:
        ConfigError: The file is missing, not valid YAML or not a mapping.
    """
    text = read_text(path)
    try:
        content = bounded_yaml.load(text)
    except YAMLError as error:
        raise ConfigError(_syntax(path, text, error)) from None
    if not isinstance(content, dict):
        raise ConfigError(
            Problem(display_path(path), "", "holds no mapping of keys to values", "write `key: value` lines")
        )
    return content


def read_text(path: Path) -> str:
    """Return the text of a small file, without the mark that Windows editors put first.

    Raises:
        ConfigError: It is missing, too large, not UTF-8, or no regular file: a device or a pipe may never end.
    """
    try:
        if not (stat.S_ISREG(mode := path.stat().st_mode) or stat.S_ISDIR(mode)):
            problem = "cannot be read: it is not a regular file"
            raise ConfigError(Problem(display_path(path), "", problem, "name a regular file"))
        with path.open("rb") as file:
            content = file.read(bounded_yaml.MAX_BYTES + 1)
        if len(content) > bounded_yaml.MAX_BYTES:
            problem = f"is larger than {bounded_yaml.MAX_BYTES // 1024} KiB"
            raise ConfigError(Problem(display_path(path), "", problem, "make it smaller, or name another file"))
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(Problem(display_path(path), "", "no such file", "check the path")) from None
    except (OSError, ValueError) as error:
        raise ConfigError(unreadable(path, error)) from None


def limit(problems: Sequence[Problem], most: int = MOST) -> list[Problem]:
    """The first problems of each file, and how many more it has."""
    by_file: dict[str, list[Problem]] = {}
    for problem in problems:
        by_file.setdefault(problem.file, []).append(problem)
    found: list[Problem] = []
    for file, listed in by_file.items():
        found += listed[:most]
        if len(listed) > most:
            found.append(more(file, len(listed) - most))
    return found


def more(file: str, count: int) -> Problem:
    """What stands for so many more problems of a file."""
    return Problem(file, "", f"has {count} more problem{'s' if count > 1 else ''}", "correct these first")


def with_lines(problems: Iterable[Problem]) -> list[Problem]:
    """The problems, each with the line and column where its key stands in its file, or the nearest section above it.

    A key that is required and has no section there has no line.
    """
    roots: dict[str, Any] = {}

    def place(problem: Problem) -> Problem:
        if problem.line or not problem.key:
            return problem
        if problem.file not in roots:
            roots[problem.file] = _compose(Path(problem.file))
        mark = _mark_of(roots[problem.file], problem.key)
        return dataclasses.replace(problem, line=mark.line + 1, column=mark.column + 1) if mark else problem

    return [place(problem) for problem in problems]


def display_path(path: Path) -> str:
    """The path as the user would type it: from the current folder where it lies below that, else absolute.

    One that is very long, or that no terminal shows, is as far as it can be shown.
    """
    full = path.absolute()
    shown = str(full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full)
    shown = shown if shown.isprintable() else ascii(shown)
    return shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 1]}…"


def locate(base: Path, key: str, path: Path, *, folder: bool = False) -> tuple[Path, Problem | None]:
    """Follow a path that a key in the file `base` names; say what is wrong unless it is a file, or a `folder` if asked.

    Paths start at the file that names them.
    """
    full, problem = base.parent / path, ""
    try:
        full = full.resolve()
        mode = full.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        problem = "no such file"
    except OSError as error:
        problem = f"cannot be used: {error.strerror}"
    except RuntimeError:
        problem = f"cannot be used: {os.strerror(errno.ELOOP)}"
    except ValueError:  # a character that no path has
        problem = "is not a path"
    else:
        if stat.S_ISREG(mode) or (folder and stat.S_ISDIR(mode)):
            return full, None
        problem = "is neither a file nor a folder" if folder else "is not a regular file"
        problem = "is a folder" if stat.S_ISDIR(mode) else problem
    shown = f"{problem}: {display_path(full)}"
    return full, Problem(display_path(base), key, shown, "correct the path (it starts at this file)")


def unreadable(path: Path, error: OSError | ValueError) -> Problem:
    """The problem of a file that exists and cannot be read as text."""
    remedy = "give a readable UTF-8 file"
    if isinstance(error, UnicodeDecodeError):
        line = error.object.count(b"\n", 0, error.start) + 1
        return Problem(display_path(path), "", f"cannot be read: invalid UTF-8 at byte {error.start}", remedy, line)
    reason = error.strerror if isinstance(error, OSError) else "it is not a path"
    return Problem(display_path(path), "", f"cannot be read: {reason}", remedy)


def fill_in(path: Path, content: dict[str, Any], secret: str = "") -> tuple[dict[str, Any], list[Problem]]:
    """Replace every `${ENV}` in the mapping's strings; list the variables that are not set, which stay as written.

    Those of the `secret` section all stay as written.
    """
    problems: list[Problem] = []

    def walk(value: Any, key: str) -> Any:
        if secret and key == secret:
            return value
        if isinstance(value, dict):
            return {name: walk(inner, f"{key}.{name}" if key else str(name)) for name, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner, f"{key}[{index}]") for index, inner in enumerate(value)]
        if isinstance(value, str):
            return _VARIABLE.sub(lambda match: variable(match, key), value)
        return value

    def variable(match: re.Match[str], key: str) -> str:
        if value := os.environ.get(match[1]):
            return value
        problem = f"environment variable {match[1]} is not set"
        problems.append(Problem(display_path(path), key, problem, "export it or write the value"))
        return match[0]

    return walk(content, ""), problems


def problems_of(path: Path, error: ValidationError) -> list[Problem]:
    """Say each of pydantic's complaints as a problem of `path`."""
    return [_problem(path, dict(detail)) for detail in error.errors(include_url=False)]


def key_of(location: Sequence[str | int]) -> str:
    """`("stages", 0, "traffic")` as `stages[0].traffic`."""
    key = ""
    for part in location:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    return key


def _problem(path: Path, detail: dict[str, Any]) -> Problem:
    kind, value, limits = detail["type"], detail["input"], detail.get("ctx", {})
    key = key_of(detail["loc"])
    shown = "it" if detail["loc"][:1] == (notify.SECTION,) else short(value)  # somebody may have put an address there
    problem, remedy = f"{shown} does not fit", "correct it"
    if kind == "value_error":
        problem, _, advice = detail["msg"].removeprefix("Value error, ").partition("; ")
        remedy = advice or remedy
    elif kind == "extra_forbidden":
        problem, remedy = "unknown key", "remove it or correct its spelling"
    elif kind == "missing":
        problem, remedy = "required, but not there", "add it"
    elif kind == "invalid_key":
        key = key_of([*detail["loc"][:-1], str(value)])
        problem, remedy = "unknown key", "keys are words"
    elif kind == "json_invalid":
        problem = f"is not valid JSON: {limits['error'].replace(' line 1', '')}"
        remedy = "write one JSON object on the line"
    elif kind == "string_too_short" or value is None:
        problem, remedy = "is empty", "write a value or remove the key"
    elif kind in _REMEDIES:
        remedy = _REMEDIES[kind].format(**limits)
    else:
        remedy = detail["msg"][0].lower() + detail["msg"][1:]
    return Problem(display_path(path), key, problem, remedy)


def short(value: object) -> str:
    """A value as a problem shows it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _syntax(path: Path, text: str, error: YAMLError) -> Problem:
    what, remedy = str(error), "correct the indentation, quotes or brackets there"
    line = column = 0
    if isinstance(error, ReaderError):  # a character that YAML does not allow
        what, line = error.reason, text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
    elif isinstance(error, MarkedYAMLError) and error.problem:
        what = error.problem
        if mark := error.problem_mark:
            line, column = mark.line + 1, mark.column + 1
    if isinstance(error, bounded_yaml.OutOfBounds):
        return Problem(display_path(path), "", what, bounded_yaml.FLATTER, line, column)
    if isinstance(error, bounded_yaml.InvalidValue):
        return Problem(display_path(path), "", f"is not valid YAML: {what}", "put it in quotes", line, column)
    if isinstance(error, DuplicateKeyError):
        what = what.partition(" with value ")[0]  # which may be long
        remedy = "merge both at once: <<: [*one, *other]" if "merge key" in what else "remove one of the two"
    return Problem(display_path(path), "", f"YAML syntax error: {what}", remedy, line, column)


def _compose(path: Path) -> Any:
    """The tree of a file's nodes; None where it cannot be read."""
    try:
        return bounded_yaml.compose(read_text(path))
    except ConfigError:
        return None


def _mark_of(node: Any, key: str) -> Any:
    """Where `key`, or the nearest section above it, stands under a node; None if it has no section there."""
    mark = None
    while key:
        if isinstance(node, SequenceNode) and (index := re.match(r"\[(\d+)\]", key)):
            found = [(len(index[0]), inner, inner.start_mark) for inner in node.value[int(index[1]) :][:1]]
        elif isinstance(node, MappingNode):
            found = [
                (len(name.value), inner, name.start_mark)
                for name, inner in node.value
                if isinstance(name, ScalarNode)
                and key.startswith(name.value)
                and key[len(name.value) :][:1] in ("", ".", "[")
            ]
        else:
            break
        if not found:
            break
        length, node, mark = max(found, key=lambda each: each[0])
        key = key[length:].removeprefix(".")
    return mark
