"""What another process does is looked at until it is there."""

from collections.abc import AsyncIterator

from tasks.support.polling import poll


async def counting(*found: str | None) -> AsyncIterator[str | None]:
    for each in found:
        yield each


async def test_what_is_looked_for_is_found() -> None:
    """It is returned as soon as it is there, whatever kind of callable looks."""
    numbers = counting(None, "", "here", "too far")

    assert await poll(lambda: anext(numbers), 0.001) == "here"
    assert await anext(numbers) == "too far"


async def test_what_is_not_there_in_time_is_none() -> None:
    """One look is made at least."""
    numbers = counting(None, "too far")

    assert await poll(lambda: anext(numbers), 0.001, timeout_s=0) is None
    assert await anext(numbers) == "too far"
