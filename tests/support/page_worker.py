"""This process in a worker's place, for answers that the approvals page signs."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from saferollout.approvals.keys import KEY, PAGE_KEY
from tests.support.signing import make_pem, public_pem
from tests.support.stack import Stack


@contextmanager
def as_worker(stack: Stack, folder: Path, monkeypatch: pytest.MonkeyPatch, page: str) -> Iterator[None]:
    """What a worker has: a key of its own, the public half of the `page`'s, and the stack's Prefect server."""
    monkeypatch.setenv(KEY, make_pem())
    monkeypatch.setenv(PAGE_KEY, public_pem(page))
    with temporary_settings({PREFECT_API_URL: stack.env["PREFECT_API_URL"], PREFECT_LOCAL_STORAGE_PATH: folder}):
        yield
    gc.collect()  # while the warnings of what Prefect leaves open are ignored
