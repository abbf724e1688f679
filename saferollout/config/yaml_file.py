"""Read YAML files for people: every mistake becomes a :class:`Problem` that names file, key, problem and remedy."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from saferollout.domain.errors import ConfigError, Problem

MERGE = "tag:yaml.org,2002:merge"
TWICE = "is given twice"
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


class _Loader(yaml.SafeLoader):
    """The safe loader, but a key that is given twice is a mistake: YAML forbids it, and PyYAML takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping of keys that differ.

        Raises:
            ConstructorError: A key is given twice.
        """
        seen: list[Any] = []
        for key, _ in node.value:
            if key.tag != MERGE:
                if (name := self.construct_object(key, deep=True)) in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{name!r} {TWICE}", key.start_mark)
                seen.append(name)
        return super().construct_mapping(node, deep)


def read(path: Path) -> dict[str, Any]:
    """Return the mapping that `path` holds.

    Raises:
        ConfigError: The file is missing, not valid YAML or not a mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506  # it is a safe loader
    except FileNotFoundError:
        raise ConfigError(Problem(display_path(path), "", "no such file", "check the path")) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(unreadable(path, error)) from None
    except yaml.YAMLError as error:
        raise ConfigError(_syntax(path, error)) from None
    except ValueError as error:  # a date that does not exist
        raise ConfigError(Problem(display_path(path), "", f"is not valid YAML: {error}", "put it in quotes")) from None
    if not isinstance(content, dict):
        raise ConfigError(
            Problem(display_path(path), "", "holds no mapping of keys to values", "write `key: value` lines")
        )
    return content


def display_path(path: Path) -> str:
    """The path as the user would type it: from the current folder where it lies below that, else absolute."""
    full = path.absolute()
    return str(full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full)


def no_file(base: Path, key: str, full: Path) -> Problem | None:
    """The problem of a key in the file `base` that must name a file; None where `full` is a file."""
    if full.is_file():
        return None
    problem = f"is a folder: {display_path(full)}" if full.is_dir() else f"no such file: {display_path(full)}"
    return Problem(display_path(base), key, problem, "correct the path (it starts at this file)")


def unreadable(path: Path, error: OSError | UnicodeDecodeError) -> Problem:
    """The problem of a file that exists and cannot be read as text."""
    reason = error.strerror if isinstance(error, OSError) else f"invalid UTF-8 at byte {error.start}"
    return Problem(display_path(path), "", f"cannot be read: {reason}", "give a readable UTF-8 file")


def fill_in(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Replace every `${ENV}` in the mapping's strings.

    Raises:
        ConfigError: Variables are not set, all of which it names.
    """
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
                Problem(
                    display_path(path), key, f"environment variable {name} is not set", "export it or write the value"
                )
            )
        return value or ""

    filled: dict[str, Any] = walk(content, "")
    if problems:
        raise ConfigError(*problems)
    return filled


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
    problem, remedy = f"{_short(value)} does not fit", "correct it"
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


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _syntax(path: Path, error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or "not readable"
    remedy = "remove one of the two" if TWICE in what else "correct the indentation, quotes or brackets there"
    return Problem(display_path(path), where, f"YAML syntax error: {what}", remedy)
