"""Packages that an environment asks for, as its conda file says; what may hold a secret is compared, never shown."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml.error import YAMLError

from saferollout.config import bounded_yaml

MAX_LENGTH = 80
"""How long a version may be to be shown."""
ANY, ADDRESS = "any version", "an address"
_OF_CONDA = re.compile(r"(?:[\w.-]+::)?(?P<name>[A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?\s*(?P<version>.*)")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_VERSION = re.compile(rf"[\w.*+!<>=~^|, ;'\"\[\]()-]{{1,{MAX_LENGTH}}}", re.ASCII)


class Packages(NamedTuple):
    """What a conda file asks for."""

    versions: dict[str, str]
    """Each package's version as the file says it, by its name; see `shown`."""
    others: Counter[str]
    """Channels, pip's options and whatever else is not a package: an address may hold a password."""


def read_packages(conda_file: object) -> Packages:
    """The packages of a conda file: its text, YAML or JSON, or what a client has made of that.

    Raises:
        ValueError: It is not a conda file.
    """
    content = conda_file or {}
    if isinstance(content, str):
        if len(content) > bounded_yaml.MAX_BYTES:
            msg = f"its conda file has more than {bounded_yaml.MAX_BYTES} characters"
            raise ValueError(msg)
        try:
            content = bounded_yaml.load(content) or {}
        except YAMLError:  # its words may quote the file
            msg = "its conda file is not valid YAML"
            raise ValueError(msg) from None
    dependencies = content.get("dependencies") or [] if isinstance(content, dict) else None
    if not isinstance(dependencies, list):
        msg = "its conda file has no list of dependencies"
        raise ValueError(msg)
    found = Packages({}, Counter(f"channel {channel}" for channel in _listed(content, "channels")))
    for entry in dependencies:
        if not isinstance(entry, Mapping):
            _take_conda(found, str(entry).strip())
    for line in _pip_lines(dependencies):  # pip has the last word
        _take_pip(found, line)
    return found


def display_version(version: str) -> str:
    """A version as people may read it: never an address, which may hold a password."""
    return version if _VERSION.fullmatch(version) else ADDRESS


def _listed(content: Any, key: str) -> list[str]:
    given = content.get(key)
    return [str(each) for each in given] if isinstance(given, list) else []


def _pip_lines(dependencies: Iterable[object]) -> Iterable[str]:
    for entry in dependencies:
        if isinstance(entry, Mapping):
            for text in _listed(entry, "pip"):
                yield from filter(None, (_COMMENT.sub("", line).strip() for line in text.splitlines()))


def _take_conda(found: Packages, entry: str) -> None:
    match = _OF_CONDA.fullmatch(entry)
    if match and (not match["version"] or _VERSION.fullmatch(match["version"])):
        found.versions[canonicalize_name(match["name"])] = re.sub(r"^={1,2}\s*(?=\d)", "", match["version"]) or ANY
    else:
        found.others[entry] += 1


def _take_pip(found: Packages, line: str) -> None:
    try:
        wanted = Requirement(line)
    except InvalidRequirement:
        found.others[line] += 1
        return
    extras = f"[{','.join(sorted(wanted.extras))}]" if wanted.extras else ""
    version = re.sub(r"^==(?=[^,]*$)", "", str(wanted.specifier))
    marker = f" ; {wanted.marker}" if wanted.marker else ""
    text = wanted.url or f"{extras}{version}{marker}".strip()
    found.versions[canonicalize_name(wanted.name)] = text or ANY
