"""The chaos suite. Its short form is among all tests; `make chaos` runs the long one and writes docs/reliability.md."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from saferollout.uploads import import_sdk
from tests.chaos.arena import Arena
from tests.chaos.tally import Tally

LINES = "SAFEROLLOUT_TALLY"
"""Names the file to which each mishap is added as a line."""
DOCUMENT = "SAFEROLLOUT_RELIABILITY"
"""Names the document that is written from all lines there."""


@pytest.fixture(scope="session")
def tally() -> Iterator[Tally]:
    """What all tests of this process did."""
    path = os.environ.get(LINES)
    made = Tally(Path(path) if path else None)
    yield made
    for part in made.parts:
        print(f"\n{part}{made.table(part)}")
    if path and (document := os.environ.get(DOCUMENT)):
        Tally.load(Path(path)).write(Path(document))


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory, forks: str) -> Iterator[Arena]:
    """A stack of this module's own."""
    import_sdk()  # before there are threads, for meanwhile the environment is not whole
    directory = tmp_path_factory.mktemp("arena")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", "unix:///nowhere")
        with Arena(directory, tmp_path_factory.getbasetemp(), forks) as made:
            for name, value in made.azure.environ.items():
                patch.setenv(name, value)
            with temporary_settings({PREFECT_API_URL: made.env["PREFECT_API_URL"]}):
                yield made
