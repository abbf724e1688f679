"""A rollout that is interrupted before it has begun."""

import asyncio
from pathlib import Path

import pytest

from saferollout.cli.choices import Approve
from saferollout.cli.running import _Attended


def test_what_is_stopped_before_it_begins_does_not_begin() -> None:
    """Interrupted while Prefect's server is still starting, no flow puts a record there after the way back was done."""
    attended, begun = _Attended(Path("rollout.yaml"), None, Approve.UI), []

    async def body() -> None:
        begun.append("step")

    attended.stop()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(attended._keep(body)())

    assert not begun
