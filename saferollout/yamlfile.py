"""Read YAML files for people: every mistake becomes a :class:`Problem` that names file, key, problem and remedy."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from saferollout.errors import ConfigError, Problem

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_REMEDIES = {
    "extra_forbidden": "remove it or correct its spelling",
    "missing": "add it",
}


def read(path: Path) -> dict[str, Any]:
    """Return the mapping that ``path`` holds; ConfigError if it is missing, no YAML or no mapping."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(Problem(str(path), "", "no such file", "check the path")) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(Problem(str(path), "", f"cannot be read: {error}", "give a readable UTF-8 file")) from None
    except yaml.YAMLError as error:
        raise ConfigError(_syntax(path, error)) from None
    if not isinstance(content, dict):
        raise ConfigError(Problem(str(path), "", "holds no mapping of keys to values", "write `key: value` lines"))
    return content


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
                Problem(str(path), key, f"environment variable {name} is not set", "export it or write the value")
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
    key = key_of(detail["loc"])
    if detail["type"] == "value_error":
        problem, _, remedy = detail["msg"].removeprefix("Value error, ").partition("; ")
        return Problem(str(path), key, problem, remedy or "correct it")
    if detail["type"] == "extra_forbidden":
        return Problem(str(path), key, "unknown key", _REMEDIES["extra_forbidden"])
    if detail["type"] == "missing":
        return Problem(str(path), key, "required, but not there", _REMEDIES["missing"])
    message = detail["msg"][0].lower() + detail["msg"][1:]
    return Problem(str(path), key, f"{detail['input']!r} does not fit", message.replace("input ", "it "))


def _syntax(path: Path, error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    what = getattr(error, "problem", None) or "not readable"
    return Problem(str(path), where, f"YAML syntax error: {what}", "correct the indentation, quotes or brackets there")
