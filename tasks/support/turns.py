"""Turns: some endpoints at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

AT_ONCE = 4
"""How many endpoints are looked after at the same time."""


async def look_after_all(names: Iterable[str], look: Callable[[str], Awaitable[str]]) -> dict[str, str]:
    """Look after some endpoints at a time; one in trouble does not keep the others from their turn.

    Raises:
        SaferolloutError: The first failure, when all had their turn.
    """
    turns = asyncio.Semaphore(AT_ONCE)
    done: dict[str, str] = {}

    async def one(name: str) -> None:
        async with turns:
            done[name] = await look(name)

    for failure in await asyncio.gather(*map(one, names), return_exceptions=True):
        if failure is not None:
            raise failure
    return dict(sorted(done.items()))
