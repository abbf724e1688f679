"""What becomes of a run whose output is no longer read, for its worker has died."""

import os
import subprocess
import sys

import pytest

START = """
import sys
from prefect.logging import get_logger
from tasks.support.broken_pipe import outlive_reader
"""
GO_ON = "outlive_reader()\n"
LOG = "log = get_logger('flow_runs')\n"  # with the first it gets its handler, which keeps the stream of that moment
WRITE = """
for line in ("first", "second"):
    print(".", end="", flush=True)
    print(line, file=sys.stderr)
    log.warning(line)
"""


@pytest.mark.slow
@pytest.mark.parametrize("begun", [LOG + GO_ON, GO_ON + LOG], ids=["log first", "log later"])
def test_what_a_run_writes_ends_nothing(begun: str) -> None:
    """Neither what is printed, as by Azure's SDK, nor a line of Prefect's log."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", START + begun + WRITE]
    done = subprocess.run(command, stdout=writer, stderr=writer, check=False)
    os.close(writer)

    assert done.returncode == 0
