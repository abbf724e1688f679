"""What the rows of the traffic log say."""

from datetime import UTC, datetime

from saferollout.azure.traffic_log import Row
from saferollout.gates.sources.traffic_log import TrafficLog
from saferollout.gates.sources.windows import Windows

ROWS = [
    Row("green", 200, 20, "a"),
    Row("green", 500, 1, "b"),
    Row("", 404, 1, "x"),
    Row("blue", 200, 10, "a"),
    Row("blue", 200, 12, "b"),
    Row("blue", 424, 3, "c"),
    Row("blue", 200, 9, "d"),
]


def log(**options: bool) -> TrafficLog:
    """A source on the traffic log, with windows of ten seconds."""
    windows = Windows(10, 0, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    return TrafficLog("e", "w", windows, candidate="green", live="blue", **options)


def test_rows_are_counted_by_deployment() -> None:
    """Requests, failures, and the latencies of what did not fail."""
    batch = log().counted(ROWS)

    assert (batch.candidate_requests, batch.candidate_errors, batch.live_requests, batch.live_errors) == (2, 1, 4, 1)
    assert (batch.candidate_latencies_ms, batch.live_latencies_ms) == ([20], [10, 12, 9])


def test_mirrored_requests_are_compared_with_themselves() -> None:
    """The live deployment counts with the requests that the candidate got a copy of, where their ids show it."""
    batch = log(mirrored=True).counted(ROWS)
    without_ids = log(mirrored=True).counted([row._replace(request_id=f"{index}") for index, row in enumerate(ROWS)])

    assert (batch.candidate_requests, batch.live_requests, batch.live_errors) == (2, 2, 0)
    assert (without_ids.candidate_requests, without_ids.live_requests) == (2, 4)


def test_one_source_reports_latencies() -> None:
    """Where probes do, the log does not: two clocks do not compare."""
    batch = log(with_latencies=False).counted(ROWS)

    assert (batch.candidate_requests, batch.candidate_latencies_ms) == (2, ())
