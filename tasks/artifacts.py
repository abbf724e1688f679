"""Artifacts: what a step shows in Prefect's UI; one that cannot be shown is no failure of the step."""

from collections.abc import Awaitable
from typing import TypeVar

from prefect.logging import get_run_logger

T = TypeVar("T")


async def shown(artifact: Awaitable[T]) -> T | None:
    """What Prefect makes of the artifact; None, and a warning in the log, where its server does not take it."""
    try:
        return await artifact
    except Exception as error:  # noqa: BLE001  # whatever it is, users' traffic matters more than a picture
        get_run_logger().warning("not shown: %s", error or type(error).__name__)
        return None
