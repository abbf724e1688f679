"""Time, as it is told and spent."""

import ast
import re
from pathlib import Path

import pytest

import localazure
from localazure.core.clock import AZURE_S, Change, Clock, Timing, now

PACKAGE = Path(localazure.__file__).parent


@pytest.mark.parametrize("change", Change)
def test_azure_s_durations_are_divided_by_the_scale(change: Change) -> None:
    """And only in that timing; the work itself takes what it takes."""
    assert Clock(Timing.AZURE).duration_s(change) == AZURE_S[change]
    assert Clock(Timing.AZURE, 60).duration_s(change) == AZURE_S[change] / 60
    assert Clock(Timing.FAST, 60).duration_s(change) == 0
    assert Clock(Timing.INSTANT).duration_s(change) == 0


def test_clients_are_hurried_but_at_azure_s_own_pace() -> None:
    """Azure sends nothing; at a scale, clients look as many times as often as they would by themselves."""
    assert Clock(Timing.AZURE).hurry(Change.ENDPOINT_UPDATE) == {}
    assert Clock(Timing.AZURE, 20).hurry(Change.ENDPOINT_UPDATE) == {"x-ms-retry-after-ms": "1500"}
    assert Clock(Timing.AZURE, 20).hurry(Change.DEPLOYMENT_CREATE) == {"x-ms-retry-after-ms": "250"}
    assert Clock(Timing.AZURE, 1000).hurry(Change.DEPLOYMENT_CREATE) == {"x-ms-retry-after-ms": "50"}
    assert Clock(Timing.FAST).hurry(Change.DEPLOYMENT_CREATE) == {"Retry-After": "1"}
    assert Clock(Timing.INSTANT).hurry(None) == {"x-ms-retry-after-ms": "50"}


def test_a_moment_is_written_as_the_service_does() -> None:
    """With no zeros at the end of its fraction, and the offset in full."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,5}[1-9])?\+00:00", now())


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
