"""Environments: what `uv` builds from a conda file's pip part, once for each content."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import AsyncFileLock
from uv import find_uv_bin

from localazure.compute.conda import BuildFailed, Wanted
from localazure.core.clock import Clock
from localazure.core.directories import cache_directory
from localazure.core.processes import Process

LOCK_POLL_S = 0.2
_LAYOUT = "1"  # part of every hash: raise it when builds of the same file come out differently

log = logging.getLogger(__name__)


class Environments:
    """The cache of built environments, shared by every local Azure of this user.

    A build happens in a directory of its own, which gets its final name only when it is whole, under a lock: several
    processes may ask for the same environment at once, and a killed build leaves nothing that looks finished.
    """

    def __init__(self, clock: Clock, cache: Path | None = None) -> None:
        self._clock = clock
        self._directory = (cache or cache_directory()) / "environments"

    async def build(self, wanted: Wanted, tell: Callable[[str], None]) -> Path:
        """The Python interpreter of the environment; `tell` gets each line of the build's log. Raises BuildFailed."""
        for package in wanted.ignored:
            tell(f"WARNING: the conda package '{package}' is not installed: local Azure has no conda, only pip")
        base, version = await self._interpreter(wanted.python, tell)
        text = "\n".join(wanted.requirements) + "\n"
        digest = hashlib.sha256(json.dumps([_LAYOUT, version, str(base), text, sys.platform]).encode()).hexdigest()[:24]
        final = self._directory / digest
        python = final / "bin" / "python"
        if python.exists():
            tell(f"Environment {digest} (Python {version}) was built before")
            return python
        self._directory.mkdir(parents=True, exist_ok=True)
        # it falls with whoever holds it, however that ends
        async with AsyncFileLock(self._directory / f"{digest}.lock", poll_interval=LOCK_POLL_S, run_in_executor=False):
            if not python.exists():
                tell(f"Building environment {digest} (Python {version}): {', '.join(wanted.requirements)}")
                started = self._clock.monotonic()
                await self._make(final, base, text, tell)
                tell(f"Built environment {digest} in {self._clock.monotonic() - started:.1f} s")
        return python

    async def _make(self, final: Path, base: Path, requirements: str, tell: Callable[[str], None]) -> None:
        building = final.with_name(f"{final.name}.building")
        shutil.rmtree(building, ignore_errors=True)
        try:
            await self._uv(["venv", "--quiet", "--relocatable", "--no-project", "--python", base, building], tell)
            file = building / "requirements.txt"
            file.write_text(requirements)
            await self._uv(["pip", "install", "--python", building / "bin" / "python", "--requirements", file], tell)
            building.rename(final)
        finally:
            shutil.rmtree(building, ignore_errors=True)

    async def _interpreter(self, wanted: str | None, tell: Callable[[str], None]) -> tuple[Path, str]:
        running = f"{sys.version_info.major}.{sys.version_info.minor}"
        own = Path(getattr(sys, "_base_executable", sys.executable))
        if wanted in (None, running):
            return own, running
        output: list[str] = []
        argv = ["python", "list", "--only-installed", "--no-project", "--offline", "--output-format", "json"]
        with contextlib.suppress(BuildFailed):
            await self._uv(argv, output.append)
        found: dict[str, Path] = {running: own}
        for line in output:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                for entry in json.loads(line):
                    parts = entry["version_parts"]
                    if entry["implementation"] == "cpython" and entry["variant"] == "default":
                        found.setdefault(f"{parts['major']}.{parts['minor']}", Path(entry["path"]))
        nearest = min(found, key=lambda version: _distance(version, str(wanted)))
        if nearest != wanted:
            tell(f"WARNING: Python {wanted} is not on this machine; Python {nearest} is used instead")
        return found[nearest], nearest

    async def _uv(self, argv: Sequence[str | Path], tell: Callable[[str], None]) -> None:
        process = await Process.start(
            [find_uv_bin(), *argv], output=subprocess.PIPE, env=await asyncio.to_thread(_uv_environment)
        )
        try:
            lines = (await process.read()).decode(errors="replace").splitlines()
            code = await process.wait()
        except asyncio.CancelledError:
            await process.stop()
            raise
        for line in lines:
            tell(line)
        if code:
            told = [line.strip() for line in lines if line.strip()]
            raise BuildFailed(" ".join(told[-8:]) or f"uv ended with code {code}")


def _uv_environment() -> dict[str, str]:
    """Our environment, with pip's package index where uv has none of its own: what pip may reach, uv may reach."""
    environ = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
    environ.pop("VIRTUAL_ENV", None)
    if any(name in environ for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_CONFIG_FILE")):
        return environ
    index = environ.get("PIP_INDEX_URL") or _pip_setting("index-url")
    if index:
        environ["UV_DEFAULT_INDEX"] = index
    return environ


def _pip_setting(name: str) -> str | None:
    argv = [sys.executable, "-m", "pip", "config", "get", f"global.{name}"]
    try:
        result = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - our own pip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None if result.returncode == 0 else None


def _distance(version: str, wanted: str) -> tuple[int, int]:
    major, minor = map(int, version.split("."))
    wanted_major, wanted_minor = map(int, wanted.split("."))
    return abs(major - wanted_major), abs(minor - wanted_minor)
