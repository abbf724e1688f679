"""Read YAML files for people: every mistake becomes a :class:`Problem` that names file, key, problem and remedy."""

import dataclasses
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, DuplicateKeyError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from saferollout.domain.errors import ConfigError, Problem

MAX_DEPTH = 50
"""How deep values may lie in each other."""
MAX_VALUES = 100_000
"""How many keys and values a file may have, where each alias counts as all that it stands for."""
TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels, or an alias stands for what it lies in"
TOO_LARGE = f"holds more than {MAX_VALUES} keys and values, with all that its aliases stand for"
FLATTER = "write fewer levels, values and aliases"
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
    "string_too_long": "write at most {max_length} characters",
    "string_type": "write text, in quotes if it is all digits",
    "too_long": "write at most {max_length} entries",
    "tuple_type": "write a list",
}


class _Constructor(SafeConstructor):
    """Python's values of YAML; what cannot be made of it, or grows beyond bounds, is an error with its place."""

    def construct_document(self, node: Any) -> Any:
        """Make the values of a whole file."""
        _check_bounds(node)
        return super().construct_document(node)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Make the value of a node."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, AttributeError, LookupError) as error:  # as of a date in month 13
            raise _InvalidValue(None, None, str(error), node.start_mark) from error


class _InvalidValue(ConstructorError):
    """A value that is not what its form promises."""


class _OutOfBounds(ConstructorError):
    """Values that are too many, or lie too deep in each other."""


def read(path: Path) -> dict[str, Any]:
    """Return the mapping that ``path`` holds; ConfigError if it is missing, not valid YAML or not a mapping."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(Problem(shown(path), "", "no such file", "check the path")) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(unreadable(path, error)) from None
    try:
        content = _yaml().load(text)
    except YAMLError as error:
        raise ConfigError(_syntax(path, text, error)) from None
    except RecursionError:
        raise ConfigError(Problem(shown(path), "", TOO_DEEP, FLATTER)) from None
    except (ValueError, OverflowError) as error:  # an escape that stands for no character
        raise ConfigError(Problem(shown(path), "", f"holds no valid YAML: {error}", "correct it")) from None
    if not isinstance(content, dict):
        raise ConfigError(Problem(shown(path), "", "holds no mapping of keys to values", "write `key: value` lines"))
    return content


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


def shown(path: Path) -> str:
    """The path as the user would type it: from the current folder where it lies below that, else absolute."""
    full = path.absolute()
    return str(full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full)


def no_file(base: Path, key: str, full: Path) -> Problem | None:
    """The problem of a key in the file ``base`` that shall name a file; None where ``full`` is one."""
    if full.is_file():
        return None
    problem = f"is a folder: {shown(full)}" if full.is_dir() else f"no such file: {shown(full)}"
    return Problem(shown(base), key, problem, "correct the path (it starts at this file)")


def unreadable(path: Path, error: OSError | UnicodeDecodeError) -> Problem:
    """The problem of a file that exists and cannot be read as text."""
    remedy = "give a readable UTF-8 file"
    if isinstance(error, OSError):
        return Problem(shown(path), "", f"cannot be read: {error.strerror}", remedy)
    line = error.object.count(b"\n", 0, error.start) + 1
    return Problem(shown(path), "", f"cannot be read: no UTF-8 at byte {error.start}", remedy, line)


def fill_in(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Replace every ``${ENV}`` in the mapping's strings; ConfigError names all variables that are not set."""
    problems: list[Problem] = []

    def walk(value: Any, key: str) -> Any:
        if isinstance(value, dict):
            return {name: walk(inner, f"{key}.{name}" if key else str(name)) for name, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner, f"{key}[{index}]") for index, inner in enumerate(value)]
        if isinstance(value, str):
            return _VARIABLE.sub(lambda match: variable(match[1], key), value)
        return value

    def variable(name: str, key: str) -> str:
        if not (value := os.environ.get(name)):
            problems.append(
                Problem(shown(path), key, f"environment variable {name} is not set", "export it or write the value")
            )
        return value or ""

    filled: dict[str, Any] = walk(content, "")
    if problems:
        raise ConfigError(*problems)
    return filled


def problems_of(path: Path, error: ValidationError) -> list[Problem]:
    """Say each of pydantic's complaints as a problem of ``path``."""
    return [_problem(path, dict(detail)) for detail in error.errors(include_url=False)]


def key_of(location: Sequence[str | int]) -> str:
    """``("stages", 0, "traffic")`` as ``stages[0].traffic``."""
    key = ""
    for part in location:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    return key


def _problem(path: Path, detail: dict[str, Any]) -> Problem:
    kind, value, limits = detail["type"], detail["input"], detail.get("ctx", {})
    key = key_of(detail["loc"])
    problem, remedy = f"{_short(value)} does not fit", "correct it"
    if kind == "value_error":
        problem, _, told = detail["msg"].removeprefix("Value error, ").partition("; ")
        remedy = told or remedy
    elif kind == "extra_forbidden":
        problem, remedy = "unknown key", "remove it or correct its spelling"
    elif kind == "missing":
        problem, remedy = "required, but not there", "add it"
    elif kind == "invalid_key":
        key = key_of([*detail["loc"][:-1], str(value)])
        problem, remedy = "unknown key", "keys are words"
    elif kind == "json_invalid":
        problem, remedy = f"no JSON: {limits['error'].replace(' line 1', '')}", "write one JSON object on the line"
    elif kind == "string_too_short" or value is None:
        problem, remedy = "is empty", "write a value or remove the key"
    elif kind in _REMEDIES:
        remedy = _REMEDIES[kind].format(**limits)
    else:
        remedy = detail["msg"][0].lower() + detail["msg"][1:]
    return Problem(shown(path), key, problem, remedy)


def _short(value: object) -> str:
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
    if isinstance(error, _OutOfBounds):
        return Problem(shown(path), "", what, FLATTER, line, column)
    if isinstance(error, _InvalidValue):
        return Problem(shown(path), "", f"holds no valid YAML: {what}", "put it in quotes", line, column)
    if isinstance(error, DuplicateKeyError):
        what = what.partition(" with value ")[0]  # which may be long
        remedy = "merge both at once: <<: [*one, *other]" if "merge key" in what else "remove one of the two"
    return Problem(shown(path), "", f"YAML syntax error: {what}", remedy, line, column)


def _yaml() -> YAML:
    """A reader of YAML 1.2 that makes nothing but plain values, and takes no key twice."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    return yaml


def _check_bounds(root: Any) -> None:
    """Raise _OutOfBounds for what is too large or too deep to work with: a few aliases may stand for billions."""
    left = [(root, 0)]
    count = 0
    while left:
        node, depth = left.pop()
        count += 1
        if depth > MAX_DEPTH:
            raise _OutOfBounds(None, None, TOO_DEEP, node.start_mark)
        if count > MAX_VALUES:
            raise _OutOfBounds(None, None, TOO_LARGE, node.start_mark)
        if isinstance(node, MappingNode):
            left += [(part, depth + 1) for pair in node.value for part in pair]
        elif isinstance(node, SequenceNode):
            left += [(part, depth + 1) for part in node.value]


def _compose(path: Path) -> Any:
    """The tree of a file's nodes, each of which knows its line; None where it cannot be read."""
    try:
        return _yaml().compose(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, YAMLError, RecursionError):
        return None


def _mark_of(node: Any, key: str) -> Any:
    """Where ``key``, or the nearest section above it, stands under a node; None if it has no section there."""
    mark = None
    while key:
        if isinstance(node, SequenceNode) and (index := re.match(r"\[(\d+)\]", key)):
            found = [(len(index[0]), inner, inner.start_mark) for inner in node.value[int(index[1]) :][:1]]
        elif isinstance(node, MappingNode):
            found = [
                (len(name.value), inner, name.start_mark)
                for name, inner in node.value
                if isinstance(name, ScalarNode) and re.match(rf"{re.escape(name.value)}(?=[.\[]|$)", key)
            ]
        else:
            break
        if not found:
            break
        length, node, mark = max(found, key=lambda each: each[0])
        key = key[length:].removeprefix(".")
    return mark
