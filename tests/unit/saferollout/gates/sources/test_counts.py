"""Counts of users' requests, without the recorded ones that went through the same endpoint."""

from datetime import UTC, datetime, timedelta

import pytest

from saferollout.gates.sources.counts import Counts, Ledger, batch_of, failed
from saferollout.gates.sources.windows import Windows

MINUTE = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
NEXT = MINUTE + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("status", "is_failure"),
    [
        (200, False),
        (400, False),
        (401, False),
        (404, False),
        (408, True),
        (424, True),
        (429, True),
        (500, True),
        (504, True),
    ],
)
def test_only_what_the_endpoint_does_wrong_is_a_failure(status: int, is_failure: bool) -> None:
    """A user's bad request says nothing about a deployment."""
    assert failed(status) is is_failure


def test_recorded_requests_are_taken_off() -> None:
    """Of 10 requests with 3 failures that a minute counts, 4 with 1 failure were our own."""
    ledger = Ledger()
    for second, status in enumerate((200, 200, 500, 200)):
        ledger.note("green", MINUTE + timedelta(seconds=second), status)

    assert ledger.taken_off("green", MINUTE, Counts(10, 3)) == (6, 2)
    assert ledger.taken_off("green", NEXT, Counts(10, 3)) == (10, 3)
    assert ledger.taken_off("blue", MINUTE, Counts(10, 3)) == (10, 3)


def test_what_lies_across_a_border_is_taken_off_the_next_minute() -> None:
    """No count is ever negative, and over both minutes exactly the users' requests are left."""
    ledger = Ledger()
    for _ in range(6):
        ledger.note("green", MINUTE + timedelta(seconds=59), 500)

    assert ledger.taken_off("green", MINUTE, Counts(4, 4)) == (0, 0)
    assert ledger.taken_off("green", NEXT, Counts(12, 3)) == (10, 1)


def test_deployments_are_compared_where_both_were_seen() -> None:
    """Alone, the candidate's requests count for its own error rate only; the live one's count for nothing."""
    both = batch_of({"green": Counts(10, 1), "blue": Counts(90, 2)}, "green", "blue")
    alone = batch_of({"green": Counts(10, 1)}, "green", "blue")
    neither = batch_of({"blue": Counts(90, 2)}, "green", "blue")

    assert (both.candidate_requests, both.candidate_errors, both.live_requests, both.live_errors) == (10, 1, 90, 2)
    assert (alone.candidate_requests, alone.live_requests, alone.alone_requests, alone.alone_errors) == (0, 0, 10, 1)
    assert (neither.candidate_requests, neither.live_requests, neither.alone_requests) == (0, 0, 0)


async def test_windows_are_whole_and_begin_after_the_start() -> None:
    """What began before the watch is not part of it, and each window comes once."""
    windows = Windows(10, 0, clock=lambda: MINUTE + timedelta(seconds=23.4))

    assert (windows.start, windows.end) == (MINUTE + timedelta(seconds=30), MINUTE + timedelta(seconds=40))
    windows.done()
    assert windows.start == MINUTE + timedelta(seconds=40)


async def test_a_window_is_ripe_when_what_is_late_has_come() -> None:
    """Not before its end and the delay of ingestion."""
    times = iter([MINUTE, MINUTE + timedelta(minutes=2, seconds=29.9)])
    windows = Windows(60, 30, clock=lambda: next(times))

    begun = datetime.now(UTC)
    await windows.ripe()

    assert 0.09 <= (datetime.now(UTC) - begun).total_seconds() < 30
