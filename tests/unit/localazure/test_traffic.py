"""What the gateway's access log says of requests."""

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from localazure.traffic import Traffic

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
    log.write_text(json.dumps(ROW | row) + "\n")
    assert [request.status for request in Traffic(log).requests(NOW - HOUR, NOW + HOUR)] == [status]
