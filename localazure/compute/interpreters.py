"""Which Python an environment gets: the one that it asks for, wherever it is on this machine or comes from."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import SpecifierSet

from localazure.arm.errors import BuildFailed
from localazure.compute.uv import run_uv

_OLDEST_REPLACEMENT = (3, 9)
"""What is older finds no packages that nobody has asked for by their version."""


@dataclass(frozen=True)
class Interpreter:
    """A Python, and what to say where it is not the one that was asked for."""

    path: Path
    version: str
    """The full version of Python: `3.11.7`."""
    hint: str = ""
    """A sentence with a space before it, or nothing."""

    @property
    def minor(self) -> str:
        """The version without its last part: `3.11`."""
        return ".".join(self.version.split(".")[:2])


class Interpreters:
    """Finds interpreters: local Azure's own, those of `PATH`, of pyenv and of uv; uv installs what is missing."""

    def __init__(self) -> None:
        self._refusals: dict[str, str] = {}
        """Why uv could not install them: asked once, for without a network that takes a while."""

    async def find(self, wanted: str | None, report: Callable[[str], None]) -> Interpreter:
        """Return the interpreter that `wanted` asks for, as `Wanted.python` has it; else the nearest, with a hint.

        Raises:
            BuildFailed: uv does not say which there are.
        """
        own = Interpreter(Path(getattr(sys, "_base_executable", sys.executable)), _running())
        if wanted is None or _fits(own.version, wanted):
            return own
        found = [own, *await _list()]
        if not any(_fits(one.version, wanted) for one in found) and await self._install(wanted, report):
            found = [own, *await _list()]
        if fitting := [one for one in found if _fits(one.version, wanted)]:
            return max(fitting, key=lambda one: _numbers(one.version))
        able = [one for one in found if _numbers(one.version) >= _OLDEST_REPLACEMENT]
        nearest = min(able, key=lambda one: _distance(one.version, wanted))
        why = self._refusals.get(wanted, "uv has installed another one")
        hint = (
            f" Python {wanted} is not on this machine and cannot be installed ({why}): Python {nearest.minor} is used"
            " instead."
        )
        report(f"WARNING:{hint}")
        return Interpreter(nearest.path, nearest.version, hint)

    async def _install(self, wanted: str, report: Callable[[str], None]) -> bool:
        if wanted in self._refusals:
            return False
        report(f"Python {wanted} is not on this machine: uv installs it")
        output: list[str] = []
        try:
            await run_uv(["python", "install", "--no-bin", wanted.split("|")[0]], output.append)
        except BuildFailed:
            said = [line.strip() for line in output if line.strip()] or ["uv does not say why"]
            (*_, why) = [line for line in said if re.match(r"error:|cause:", line)] or said
            self._refusals[wanted] = re.sub(r"^(error|cause): |\.$", "", why)
        for line in output:
            report(line)
        return wanted not in self._refusals


async def _list() -> list[Interpreter]:
    output: list[str] = []
    argv = ["python", "list", "--only-installed", "--offline", "--no-config", "--output-format", "json"]
    try:
        await run_uv(argv, output.append, PATH=os.pathsep.join(_search_path()))
    except BuildFailed as error:
        raise BuildFailed(f"uv does not list the interpreters: {error}") from error
    lists = [line for line in output if line.startswith("[")]  # beside warnings of interpreters that do not start
    if len(lists) != 1:
        raise BuildFailed(f"uv does not list the interpreters as JSON on a line: {' '.join(output)[:500]}")
    return [
        Interpreter(Path(entry["path"]), entry["version"])
        for entry in json.loads(lists[0])
        if entry["implementation"] == "cpython" and entry["variant"] == "default"
    ]


def _search_path() -> Iterator[str]:
    """Yield the folders of `PATH` and of pyenv's versions; not pyenv's shims, which start the chosen versions only."""
    root = Path(os.environ.get("PYENV_ROOT") or Path(os.environ.get("HOME", "/")) / ".pyenv")
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        if Path(folder) != root / "shims":
            yield folder
    yield from map(str, sorted(root.glob("versions/3.*/bin")))


def _running() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _fits(version: str, wanted: str) -> bool:
    return any(
        SpecifierSet(part if re.match(r"[<>=!~]", part) else f"=={part}.*").contains(version, prereleases=True)
        for part in wanted.split("|")
    )


def _distance(version: str, wanted: str) -> tuple[int, int]:
    """Return how far it is from the first version that is named."""
    major, minor, *_ = [*_numbers(wanted), 0]
    return abs(_numbers(version)[0] - major), abs(_numbers(version)[1] - minor)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))
