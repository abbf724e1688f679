"""How often a run shows that it lives, from the heartbeats that came."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.support.runs import beat_s

START = datetime(2025, 1, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("beats", "since", "expected"),
    [
        ([0], 0, 30),
        ([90, 60, 30, 0], 0, 30),
        ([360, 180, 0], 0, 180),
        ([120, 60, 30, 0], 0, 30),
        ([200, 60, 30], 199, 30),
        ([200, 60], 199, 140),
        ([560, 380, 200, 190, 10], 199, 180),
    ],
    ids=["one", "as here", "another setting", "one lost", "asked in between", "nothing better", "of this process"],
)
def test_the_time_without_a_process_does_not_count(beats: list[int], since: int, expected: float) -> None:
    """A question that was open for long would make the run look alive for as long again."""
    moments = [START + timedelta(seconds=each) for each in beats]
    assert beat_s(moments, START + timedelta(seconds=since), 30) == expected
