"""Artifacts: what a step shows in Prefect's UI; one that cannot be shown, or not in time, does not fail the step."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger

LIMIT_S = 10.0
"""How long showing may keep a step: without a server the client would try for more than a minute."""


async def publish(*artifacts: Awaitable[Any], limit_s: float = LIMIT_S, failure: str = "not shown") -> list[Any]:
    """What Prefect makes of the artifacts, all at once; None for one that is not taken.

    Then the `failure`, and why, is a warning in the log.
    """
    return await asyncio.gather(*(_show(artifact, limit_s, failure) for artifact in artifacts))


async def _show(artifact: Awaitable[Any], limit_s: float, failure: str) -> Any:
    try:
        async with asyncio.timeout(limit_s):
            return await artifact
    except Exception as error:  # noqa: BLE001  # whatever it is, users' traffic matters more than a picture
        run_logger().warning("%s: %s", failure, str(error) or f"Prefect took longer than {limit_s:.0f} s")
        return None


def run_logger() -> logging.Logger | logging.LoggerAdapter[Any]:
    """The run's logger; outside of a run, as where the guard does without Prefect, a plain one."""
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger(__name__)
