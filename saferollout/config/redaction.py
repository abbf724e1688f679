"""Redaction: what is taken out of users' requests before they are written anywhere."""

import copy
import importlib
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from saferollout.domain.errors import ConfigError, Problem

OPTION = "--redact"
_FUNCTION = re.compile(r"(?P<module>[A-Za-z_][\w.]*):(?P<name>[A-Za-z_]\w*)")
REMEDY = "write module:function, or a JSON path such as customer.email or rows.*.name"


class Redaction:
    """Drops parts of bodies by their paths, and lets a user's function change the rest."""

    def __init__(self, wanted: Sequence[str]) -> None:
        """Take `module:function`s and JSON paths.

        Raises:
            ConfigError: One is neither, or there is no such function.
        """
        self._paths: dict[str, list[str]] = {}
        self._functions: list[tuple[str, Callable[[Any], Any]]] = []
        for each in wanted:
            if ":" in each:
                self._functions.append((each, _find(each)))
            else:
                self._paths[each] = _steps(each)
        self._unmet = set(self._paths)

    def apply(self, body: Any) -> Any:
        """Return a body without what is to be dropped; None where the whole request is to be left out.

        A body that is not JSON comes as bytes: where paths are to be dropped, it is left out, since it may hold them.

        Raises:
            ConfigError: A function failed, or returned what cannot be sent.
        """
        if self._paths and isinstance(body, bytes):
            return None
        body = copy.deepcopy(body)
        for path, steps in self._paths.items():
            if _drop(body, steps):
                self._unmet.discard(path)
        for name, function in self._functions:
            body = _call(name, function, body)
            if body is None:
                return None
        return body

    def check_met(self) -> None:
        """Check that every path was in some request.

        Raises:
            ConfigError: One was in none: if it is misspelled, what it should drop would be written.
        """
        problem, remedy = "is in no request", "correct its spelling, or leave it out"
        if self._unmet:
            raise ConfigError(
                *(Problem("command line", OPTION, f"{path!r} {problem}", remedy) for path in sorted(self._unmet))
            )


def _steps(path: str) -> list[str]:
    """Return the steps of a path.

    Raises:
        ConfigError: It is not one.
    """
    steps = path.removeprefix("$").removeprefix(".").split(".")
    if not all(steps):
        raise ConfigError(Problem("command line", OPTION, f"{path!r} is not a JSON path", REMEDY))
    return steps


def _find(wanted: str) -> Callable[[Any], Any]:
    """Return the function of that name; modules are found from the current folder, too.

    Raises:
        ConfigError: There is none.
    """
    match = _FUNCTION.fullmatch(wanted)
    if match is None:
        raise ConfigError(Problem("command line", OPTION, f"{wanted!r} is not module:function", REMEDY))
    sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(match["module"]), match["name"], None)
    except Exception as error:  # noqa: BLE001  # whatever a user's module raises
        problem = f"the module of {wanted!r} cannot be imported: {type(error).__name__}: {error}"
        raise ConfigError(Problem("command line", OPTION, problem, "correct it")) from None
    finally:
        sys.path.remove(str(Path.cwd()))
    if not callable(function):
        problem = f"{match['module']} has no function {match['name']}"
        raise ConfigError(Problem("command line", OPTION, problem, "correct its spelling"))
    return function  # type: ignore[no-any-return]  # a user's own


def _call(name: str, function: Callable[[Any], Any], body: Any) -> Any:
    """Return what the function makes of a body; of its failure only the kind is said: its words may hold the body.

    Raises:
        ConfigError: It failed, or returned what cannot be sent.
    """
    problem = ""
    try:
        redacted = function(body)
    except Exception as error:  # noqa: BLE001  # whatever a user's function raises
        problem = f"{name!r} failed with {type(error).__name__}"
    else:
        try:
            if not isinstance(redacted, bytes):
                json.dumps(redacted, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            problem = f"{name!r} returned what is neither JSON nor bytes"
    if problem:
        remedy = "let it return the body to record, or None to leave the request out"
        raise ConfigError(Problem("command line", OPTION, problem, remedy))
    return redacted


def _drop(value: Any, steps: Sequence[str]) -> bool:
    """Drop what lies at a path, in every item of a list that is on the way; return whether anything did."""
    step, *rest = steps
    if isinstance(value, list):
        if step == "*" and not rest:
            found = bool(value)
            value.clear()
            return found
        if step.isdigit():
            index = int(step)
            if index >= len(value):
                return False
            if rest:
                return _drop(value[index], rest)
            value[index] = None  # the others keep their places
            return True
        return any([_drop(item, rest if step == "*" else steps) for item in value])  # noqa: C419  # all of them
    if not isinstance(value, dict):
        return False
    keys = [key for key in value if step in ("*", key)]
    if rest:
        return any([_drop(value[key], rest) for key in keys])  # noqa: C419  # likewise
    for key in keys:
        del value[key]
    return bool(keys)
