"""The JSON schema of an answer: read and checked so that validation later ends, and fetches nothing."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import jsonschema
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from jsonschema_specifications import REGISTRY
from referencing.exceptions import Unresolvable
from referencing.jsonschema import specification_with

from saferollout.config import bounded_yaml, yaml_file
from saferollout.domain.errors import ConfigError, Problem

Unknown = jsonschema.validators.create({})
NEWEST = "https://json-schema.org/draft/2020-12/schema"
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
IN_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")
"""Under these keys lie schemas of the same value, not of a part of it."""
LONGEST = 200
"""How many characters of a complaint are shown."""
PATTERN_S = 2.0
"""How long one pattern may take on texts made to be slow."""

_PROBE = f"""
import faulthandler, json, re, sys
for pattern in json.load(sys.stdin):
    faulthandler.dump_traceback_later({PATTERN_S}, exit=True, file=open(__import__("os").devnull, "w"))
    parts = [pattern] + [f"^(?:{{part}})$" for part in re.findall(r"\\((?:[^()\\\\]|\\\\.)*\\)[*+{{][^()]*", pattern)]
    units = [*dict.fromkeys([*re.findall(r"\\w", pattern), *"aA0 _-./:@,"])]
    for part in parts:
        try:
            found = re.compile(part)
        except (re.error, OverflowError, RecursionError):
            continue
        for unit in units:
            for text in (unit * 40, unit * 3000, (unit + " ") * 20, (unit + ".") * 20):
                found.search(text + "\\n!")
    faulthandler.cancel_dump_traceback_later()
    print(flush=True)
"""
"""Searches texts that make a bad pattern try every way to split them; a thread ends it, for Python's `re` cannot."""


def read(path: Path) -> dict[str, Any]:
    """Read the schema.

    Raises:
        ConfigError: It is not one, a reference leads nowhere or out of the file, or validation might not end.
    """
    text = yaml_file.read_text(path)
    file = yaml_file.display_path(path)
    try:
        schema = json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        raise ConfigError(Problem(file, "", f"is not valid JSON: {error}", "write a JSON schema")) from None
    except RecursionError:
        raise ConfigError(Problem(file, "", bounded_yaml.TOO_DEEP, bounded_yaml.FLATTER)) from None
    if not isinstance(schema, dict):
        raise ConfigError(Problem(file, "", "is not a JSON object", "write a JSON schema"))
    if _depth(schema) > bounded_yaml.MAX_DEPTH:
        raise ConfigError(Problem(file, "", bounded_yaml.TOO_DEEP, bounded_yaml.FLATTER))
    dialect = schema.get("$schema", NEWEST)
    if not isinstance(dialect, str) or validator_for({"$schema": dialect}, default=Unknown) is Unknown:
        problem = f"{json.dumps(dialect)[:60]} is not a version of JSON schema that is known"
        raise ConfigError(Problem(file, "$schema", problem, f"write {NEWEST}, or remove it"))
    try:
        validator_for(schema).check_schema(schema)
    except jsonschema.SchemaError as error:
        key = yaml_file.key_of(list(error.absolute_path))
        raise ConfigError(Problem(file, key, error.message[:LONGEST], "correct the JSON schema")) from None
    if problems := [Problem(file, *said) for said in (*_References(schema).problems(), *_slow(schema))]:
        raise ConfigError(*problems)
    return schema


def make_validator(schema: dict[str, Any]) -> Validator:
    """A validator that knows the schema and the specifications of JSON schema, and fetches nothing."""
    return validator_for(schema)(schema, registry=REGISTRY)


def _refuse(constant: str) -> NoReturn:
    msg = f"{constant} is not JSON"
    raise ValueError(msg)


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return depth


def _places(value: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the key and the value of every object in a schema."""
    if isinstance(value, dict):
        yield key, value
        for name, inner in value.items():
            yield from _places(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _places(inner, f"{key}[{index}]")


class _References:
    """Follows every reference of a schema."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        self._dialect = specification_with(schema.get("$schema", NEWEST).rstrip("#"))
        self._keys = {id(inner): key for key, inner in _places(schema)}
        self._same: dict[int, list[Any]] = {}
        """For each schema those that the same value must obey."""

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """Yield what is wrong: key, problem, remedy."""
        root = self._dialect.create_resource(self._schema)
        left = [(root, REGISTRY.with_resource("", root).resolver_with_root(root))]
        while left:
            resource, resolver = left.pop()
            schema = resource.contents
            if not isinstance(schema, dict) or id(schema) in self._same:
                continue
            self._same[id(schema)] = _of_the_same_value(schema)
            for key in REFERENCES:
                if not isinstance(reference := schema.get(key), str):
                    continue
                try:
                    found = resolver.lookup(reference)
                except (Unresolvable, ValueError, LookupError, TypeError, AttributeError):
                    problem = f"{yaml_file.short(reference)} leads nowhere in this file, and nothing is fetched"
                    yield self._key(schema, key), problem, "copy what it means into $defs, and refer to that"
                    continue
                self._same[id(schema)].append(found.contents)
                left.append((self._dialect.create_resource(found.contents), found.resolver))
            left += [(inner, resolver.in_subresource(inner)) for inner in resource.subresources()]
        yield from self._endless()

    def _key(self, schema: dict[str, Any], key: str) -> str:
        return f"{self._keys.get(id(schema), '')}.{key}".lstrip(".")

    def _endless(self) -> Iterator[tuple[str, str, str]]:
        """Yield the first schema that leads back to itself without a step into the value."""
        done: set[int] = set()
        for start in self._same:
            above = [start]
            branches = [self._ids(start)]
            while branches:
                inner = next(branches[-1], None)
                if inner is None:
                    branches.pop()
                    done.add(above.pop())
                elif inner in above:
                    key = f"{self._keys.get(inner, '')}"
                    yield key, "refers to itself without end", "let it refer to schemas of a part of the value only"
                    return
                elif inner not in done:
                    above.append(inner)
                    branches.append(self._ids(inner))

    def _ids(self, schema: int) -> Iterator[int]:
        return map(id, self._same.get(schema, []))


def _of_the_same_value(schema: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    for key in IN_PLACE:
        value = schema.get(key)
        if key == "dependentSchemas" and isinstance(value, dict):
            value = list(value.values())
        found += value if isinstance(value, list) else [value]
    return [inner for inner in found if isinstance(inner, dict)]


def _slow(schema: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield the regular expressions that take too long."""
    keys: dict[str, str] = {}
    for key, inner in _places(schema):
        named = inner.get("patternProperties")
        found = dict.fromkeys(named, "patternProperties") if isinstance(named, dict) else {}
        found |= {pattern: "pattern"} if isinstance(pattern := inner.get("pattern"), str) else {}
        keys |= {pattern: f"{key}.{name}".lstrip(".") for pattern, name in found.items()}
    left = list(keys)
    while left:
        done = subprocess.run(  # noqa: S603  # our own program
            [sys.executable, "-I", "-S", "-c", _PROBE],
            input=json.dumps(left),
            capture_output=True,
            text=True,
            check=False,
        )
        fine = done.stdout.count("\n")
        if fine < len(left):
            problem = f"the pattern {yaml_file.short(left[fine])} takes for ever on some texts"
            yield keys[left[fine]], problem, "do not repeat what repeats: write a+ instead of (a+)+"
        left = left[fine + 1 :]
