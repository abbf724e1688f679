"""Programs of the system that tests run."""

import os
import shutil

import pytest


def program(*names: str) -> str:
    """Where the first of these that is here lies; where none is, the test is skipped, but fails in CI."""
    if found := next(filter(None, map(shutil.which, names)), None):
        return found
    missing = f"no {names[0]} on this machine: .ci/packages installs it"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)
