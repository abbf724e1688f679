"""Environments: what `uv` builds from a conda file's pip part, once for each content."""

import asyncio
import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from filelock import AsyncFileLock

from localazure.compute.conda import Wanted
from localazure.compute.interpreters import Interpreter, Interpreters
from localazure.compute.old_pins import HELD
from localazure.compute.uv import run_uv
from localazure.core.clock import Clock
from localazure.core.directories import cache_directory

LOCK_POLL_S = 0.2
_LAYOUT = "2"  # part of every hash: raise it when builds of the same file come out differently
_PRE = "--pre"


class Environments:
    """The cache of built environments, shared by every local Azure of this user.

    A build happens in a directory of its own, which gets its final name only when it is whole, under a lock: several
    processes may ask for the same environment at once, and a killed build leaves nothing that looks finished.
    """

    def __init__(self, clock: Clock, cache: Path | None = None) -> None:
        self._clock = clock
        self._directory = (cache or cache_directory()) / "environments"
        self._interpreters = Interpreters()

    async def interpreter(self, wanted: Wanted, report: Callable[[str], None]) -> Interpreter:
        """Return the Python that the environment gets.

        Raises:
            BuildFailed: As `Interpreters.find`.
        """
        return await self._interpreters.find(wanted.python, report)

    async def build(self, wanted: Wanted, base: Interpreter, report: Callable[[str], None]) -> Path:
        """Build the environment on `base`, unless it is there; `report` gets each line of the build's log.

        Returns:
            Its Python interpreter.

        Raises:
            BuildFailed: It cannot be built.
        """
        for package in wanted.ignored:
            report(f"WARNING: the conda package '{package}' is not installed: local Azure has no conda, only pip")
        if wanted.old:
            report(
                f"WARNING: {HELD} is installed, because this was built before numpy 2: {', '.join(wanted.old)}. Conda's"
                f" metadata says so; pip alone would take numpy 2, on Azure too: write {HELD} into the pip part"
            )
        digest = await asyncio.to_thread(_digest, wanted, base)
        final = self._directory / digest
        python = final / "bin" / "python"
        if python.exists():
            report(f"Environment {digest} (Python {base.minor}) was built before")
            return python
        self._directory.mkdir(parents=True, exist_ok=True)
        # it falls with whoever holds it, however that ends
        async with AsyncFileLock(self._directory / f"{digest}.lock", poll_interval=LOCK_POLL_S, run_in_executor=False):
            if not python.exists():
                report(f"Building environment {digest} (Python {base.minor}): {', '.join(wanted.requirements)}")
                started = self._clock.monotonic()
                await self._make(final, base.path, wanted, report)
                report(f"Built environment {digest} in {self._clock.monotonic() - started:.1f} s")
        return python

    async def _make(self, final: Path, base: Path, wanted: Wanted, report: Callable[[str], None]) -> None:
        building = final.with_name(f"{final.name}.building")
        shutil.rmtree(building, ignore_errors=True)
        try:
            await run_uv(["venv", "--quiet", "--relocatable", "--no-project", "--python", base, building], report)
            options = _options(wanted, building)
            await run_uv(["pip", "install", "--python", building / "bin" / "python", *options], report)
            building.rename(final)
        finally:
            shutil.rmtree(building, ignore_errors=True)


def _options(wanted: Wanted, folder: Path) -> list[str | Path]:
    """Return the options by which uv installs what is wanted; the files that they name are written to `folder`."""
    lines = folder / "wanted.txt"
    lines.write_text("".join(f"{line}\n" for line in wanted.requirements if line != _PRE))
    options: list[str | Path] = ["--requirements", lines]
    if wanted.constraints:
        constraints = folder / "constraints.txt"
        constraints.write_text("".join(f"{line}\n" for line in wanted.constraints))
        options += ["--constraints", constraints]
    if _PRE in wanted.requirements:  # uv does not take it from a file
        options += ["--prerelease", "allow"]
    return options


def _digest(wanted: Wanted, base: Interpreter) -> str:
    """Return what stands for the environment's content, that of files which it installs included."""
    parts = [_LAYOUT, base.minor, str(base.path), sys.platform, list(wanted.requirements), list(wanted.constraints)]
    digest = hashlib.sha256(json.dumps(parts).encode())
    for path in wanted.files:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(str(file).encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:24]
