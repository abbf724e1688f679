"""What the gateway's access log says of requests."""

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from localazure.gateway.access_log import predecessor
from localazure.monitor.traffic import Traffic

NOW = datetime.datetime.now(datetime.UTC)
ROW: dict[str, Any] = {
    "time": NOW.isoformat(),
    "endpoint": "shop",
    "deployment": "green",
    "method": "POST",
    "path": "/endpoints/shop/score",
    "protocol": "HTTP/1.1",
    "response_code": 200,
    "model_status_code": None,
    "request_bytes": 2,
    "response_bytes": 2,
    "received_ms": 1,
    "duration_ms": 5,
    "model_ms": "3",
    "request_delay_ms": None,
    "response_delay_ms": None,
    "request_id": "id",
    "client_request_id": None,
    "mirrored": False,
}
HOUR = datetime.timedelta(hours=1)


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ({}, 200),
        ({"mirrored": True}, 200),
        ({"response_code": 0}, 0),
        ({"response_code": 0, "mirrored": True}, 408),
        ({"response_code": 0, "mirrored": True, "received_ms": None}, 0),
    ],
    ids=["answered", "copy", "client gone", "copy cut", "client of the original gone"],
)
def test_a_copy_that_is_cut_took_too_long(row: dict[str, Any], status: int, tmp_path: Path) -> None:
    """Unless its client had gone before all of the request was there: that is nobody's failure."""
    log = tmp_path / "traffic.jsonl"
    traffic = Traffic(log)
    log.write_text(json.dumps(ROW | row) + "\n")
    assert [request.status for request in traffic.requests(NOW - HOUR, NOW + HOUR)] == [status]


def write(log: Path, *ids: str, **changes: Any) -> None:
    """Add a line for each request id."""
    with log.open("a") as file:
        file.writelines(json.dumps(ROW | changes | {"request_id": name}) + "\n" for name in ids)


def seen(traffic: Traffic) -> list[str]:
    """The ids of the requests of the last hours, in order."""
    return [request.request_id for request in traffic.requests(NOW - 9 * HOUR, NOW + HOUR)]


def test_no_request_is_lost_or_read_twice_when_a_new_log_is_begun(tmp_path: Path) -> None:
    """Neither what was written before it, nor what still went into the old one."""
    log = tmp_path / "traffic.jsonl"
    traffic = Traffic(log)
    write(log, "1", "2")
    assert seen(traffic) == ["1", "2"]
    log.rename(predecessor(log))
    write(predecessor(log), "3")
    assert seen(traffic) == ["1", "2", "3"]
    write(predecessor(log), "4")
    log.touch()
    assert seen(traffic) == ["1", "2", "3", "4"]
    write(log, "5")
    assert seen(traffic) == ["1", "2", "3", "4", "5"]


async def test_what_was_logged_before_is_recalled(tmp_path: Path) -> None:
    """From both logs and in order, but for what is too old; as new counts only what comes afterwards."""
    log = tmp_path / "traffic.jsonl"
    write(predecessor(log), "old", time=(NOW - 7 * HOUR).isoformat())
    write(predecessor(log), "1", "2")
    write(log, "3", "4")
    new: list[str] = []
    traffic = Traffic(log, count=lambda request: new.append(request.request_id))
    write(log, "5")
    assert seen(traffic) == ["5"]
    await traffic.recall()
    assert seen(traffic) == ["1", "2", "3", "4", "5"]
    assert new == ["5"]


async def test_a_log_that_is_not_there_is_an_empty_one(tmp_path: Path) -> None:
    """At first there is none."""
    traffic = Traffic(tmp_path / "traffic.jsonl")
    await traffic.recall()
    assert seen(traffic) == []
