"""A run that is asked to end, at whatever moment."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, os, signal
from prefect.utilities.engine import capture_sigterm
from flows.cancellation import heed_sigterm

async def run():
    {}
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
    await asyncio.sleep({})
    print("went on")

with capture_sigterm():
    asyncio.run(run())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "seconds", "code", "output"),
    [("heed_sigterm()", 60, -signal.SIGTERM, ""), ("pass", 1, 0, "went on\n")],
    ids=["heeded", "lost"],
)
def test_sigterm_in_a_callback_ends_the_run(first: str, seconds: int, code: int, output: str) -> None:
    """Asyncio reports what a callback raises and goes on, so that the run would not end, as the second case shows."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(first, seconds)], capture_output=True, text=True, check=False, timeout=50
    )

    assert (done.returncode, done.stdout) == (code, output), done.stderr
