"""Time, as it is told and spent."""

import ast
from pathlib import Path

import pytest

import localazure
from localazure.core.clock import AZURE_S, MAX_RETRY_AFTER_S, Change, Clock, Timing

PACKAGE = Path(localazure.__file__).parent


@pytest.mark.parametrize("change", Change)
def test_azure_s_durations_are_divided_by_the_scale(change: Change) -> None:
    """And only in that timing; the work itself takes what it takes."""
    assert Clock(Timing.AZURE).duration_s(change) == AZURE_S[change]
    assert Clock(Timing.AZURE, 60).duration_s(change) == AZURE_S[change] / 60
    assert Clock(Timing.FAST, 60).duration_s(change) == 0
    assert Clock(Timing.INSTANT).duration_s(change) == 0


def test_clients_are_told_to_look_again_as_the_duration_asks_for() -> None:
    """Whole seconds, at least one and at most half a minute; milliseconds only where time shall not count."""
    assert Clock(Timing.AZURE).retry_after(Change.ENDPOINT_UPDATE) == {"Retry-After": "6"}
    assert Clock(Timing.AZURE).retry_after(Change.DEPLOYMENT_CREATE) == {"Retry-After": str(MAX_RETRY_AFTER_S)}
    assert Clock(Timing.AZURE, 1000).retry_after(Change.DEPLOYMENT_CREATE) == {"Retry-After": "1"}
    assert Clock(Timing.FAST).retry_after(Change.DEPLOYMENT_CREATE) == {"Retry-After": "1"}
    assert Clock(Timing.INSTANT).retry_after(None) == {"x-ms-retry-after-ms": "50"}


def test_nothing_sleeps_by_itself() -> None:
    """Every wait goes through the clock. The leash is a program of its own, which imports nothing."""
    sleeping = [
        f"{path.name}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        if path.name not in ("clock.py", "leash.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("asyncio.sleep", "time.sleep", "sleep")
    ]
    assert sleeping == []
