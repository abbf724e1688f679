"""The `uv` command, which builds environments and knows which interpreters there are."""

import asyncio
import functools
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from uv import find_uv_bin

from localazure.arm.errors import BuildFailed
from localazure.core.processes import Process

_INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_CONFIG_FILE")


async def run_uv(argv: Sequence[str | Path], report: Callable[[str], None], **variables: str) -> None:
    """Run the command, with these variables beside ours; `report` gets each line that it prints.

    Raises:
        BuildFailed: It ends with an error, whichever: its last lines.
    """
    environ = {**await asyncio.to_thread(_environ), **variables}
    process = await Process.start([find_uv_bin(), *argv], output=subprocess.PIPE, env=environ)
    try:
        lines = (await process.read()).decode(errors="replace").splitlines()
        code = await process.wait()
    except asyncio.CancelledError:
        await process.stop()
        raise
    for line in lines:
        report(line)
    if code:
        written = [line.strip() for line in lines if line.strip()]
        raise BuildFailed(" ".join(written[-8:]) or f"uv {argv[0]} ended with code {code}")


def _environ() -> dict[str, str]:
    """Return our environment, with pip's package index where uv has none of its own: what pip may reach, uv may."""
    environ = {
        "UV_PYTHON_DOWNLOADS": "manual",  # interpreters are installed where `uv python install` is called, only
        **os.environ,
        "UV_NO_PROGRESS": "1",
        "NO_COLOR": "1",
    }
    environ.pop("VIRTUAL_ENV", None)
    if not any(name in environ for name in _INDEXES):
        index = environ.get("PIP_INDEX_URL") or _pip_settings().get("global.index-url")
        if index:
            environ["UV_DEFAULT_INDEX"] = index
    return environ


@functools.cache
def _pip_settings() -> dict[str, str]:
    """Return what pip's own files say, by the settings' names; nothing where there is no pip.

    Raises:
        BuildFailed: pip cannot say it.
    """
    if find_spec("pip") is None:
        return {}
    argv = [sys.executable, "-m", "pip", "config", "list"]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own pip
    if result.returncode:
        raise BuildFailed(f"'pip config list' ended with code {result.returncode}: {result.stderr.strip()}")
    pairs = (line.partition("=") for line in result.stdout.splitlines())
    return {name: value.strip("'\"") for name, _, value in pairs}
