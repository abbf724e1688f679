"""Timespans, as clients of Azure Monitor write them."""

import pytest

from localazure.arm.errors import BadRequest
from localazure.monitor.times import iso, span


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-29T11:00:00Z/2026-11-29T12:00:00Z",
        "2026-11-29T11:00:00/PT1H",
        "2026-11-29T12:00:00 01:00/2026-11-29T13:00:00 01:00",  # a plus that was read as a space
        "2026-11-29T11%3A00%3A00%2F2026-11-29T12%3A00%3A00",  # as azure-cli sends it: encoded twice
        "2026-11-29T12%3A00%3A00%2B01%3A00%2F2026-11-29T13%3A00%3A00%2B01%3A00",
    ],
)
def test_a_timespan_has_two_ends(text: str) -> None:
    """However they are written."""
    assert [iso(end) for end in span(text)] == ["2026-11-29T11:00:00Z", "2026-11-29T12:00:00Z"]


@pytest.mark.parametrize(
    "text",
    ["5", "nonsense", "P1Y", "PT0S", "P2D", "-PT1H", "2026-13-01/PT1H", "0001-01-01/P1D/", "%2F", "9999-12-31/P1D"],
)
def test_what_is_no_timespan_is_refused(text: str) -> None:
    """400, never an error of Python's."""
    with pytest.raises(BadRequest):
        span(text)
