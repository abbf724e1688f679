"""Polling: what another process does sets no event here, so it is looked at again and again."""

import math
import operator
from collections.abc import Awaitable, Callable
from typing import TypeVar

import tenacity

T = TypeVar("T")


async def poll(look: Callable[[], Awaitable[T | None]], every_s: float, timeout_s: float = math.inf) -> T | None:
    """Return what ``look`` finds, looking every so many seconds; None if it finds nothing in time."""

    async def attempt() -> T | None:  # tenacity awaits no lambda
        return await look()

    looking = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_result(operator.not_),
        wait=tenacity.wait_fixed(every_s),
        stop=tenacity.stop_after_delay(timeout_s),
        retry_error_callback=lambda _: None,
    )
    return await looking(attempt)
