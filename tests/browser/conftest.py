"""Debian's Chromium."""

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from tests.support.programs import program

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-software-rasterizer",
    "--force-prefers-reduced-motion",  # with the line above it takes half the CPU time
]


def chromium() -> str:
    """Where it is; CI must have it."""
    return program("chromium", "chromium-browser", "google-chrome")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium_of_module() -> AsyncIterator[Browser]:
    """One for a whole module, whose tests share a loop: its start costs as much as many pages; CI must have it."""
    async with async_playwright() as playwright:
        expect.set_options(timeout=60_000)
        started = await playwright.chromium.launch(executable_path=chromium(), args=QUIET)
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="module")
async def browser(chromium_of_module: Browser) -> AsyncIterator[Browser]:
    """It; whoever came to look has gone when the test ends, and nothing is left of their sessions."""
    yield chromium_of_module
    for context in chromium_of_module.contexts:
        await context.close()
