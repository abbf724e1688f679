"""What becomes of a run whose output nobody reads any longer, for its worker has died."""

import logging
import os
from collections.abc import Iterator
from typing import TextIO

import pytest
from prefect.logging.handlers import PrefectConsoleHandler

from tasks.support.unread import lasting


@pytest.fixture
def unread() -> Iterator[TextIO]:
    """A pipe without a reader."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        yield stream


def test_a_line_of_prefects_log_ends_nothing(unread: TextIO) -> None:
    """Neither the first nor another."""
    handler = PrefectConsoleHandler(stream=unread)
    for line in ("first", "second"):
        handler.emit(logging.LogRecord("prefect.flow_runs", logging.INFO, "", 0, line, None, None))


def test_what_is_printed_ends_nothing(unread: TextIO) -> None:
    """As the dots that Azure's SDK prints while it waits."""
    stream = lasting(unread)
    for _ in range(2):
        print(".", end="", flush=True, file=stream)
