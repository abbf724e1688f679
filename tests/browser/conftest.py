"""Debian's Chromium."""

from collections.abc import AsyncIterator

import pytest
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


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """One that is driven by the test's own loop; CI must have it."""
    async with async_playwright() as playwright:
        expect.set_options(timeout=60_000)
        started = await playwright.chromium.launch(executable_path=chromium(), args=QUIET)
        yield started
        await started.close()
