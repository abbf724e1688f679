"""The chaos suite. Its short form is among all tests; `make chaos` runs the long one and writes docs/reliability.md."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.tally import Tally

DOCUMENT = "SAFEROLLOUT_RELIABILITY"
"""Names the document that is to be written."""


@pytest.fixture(scope="session")
def tally() -> Iterator[Tally]:
    """What all tests of this process did."""
    made = Tally()
    yield made
    for part in made.parts:
        print(f"\n{part}{made.table(part)}")
    if document := os.environ.get(DOCUMENT):
        made.write(Path(document))
