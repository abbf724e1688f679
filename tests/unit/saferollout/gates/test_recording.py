"""Recorded requests made of what was collected: which are taken, how many, and what is written of them."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from saferollout.azure.collection import CollectedEvent
from saferollout.config.recorded_requests import read_requests
from saferollout.config.redaction import Redaction
from saferollout.gates.recording import Recorded, record
from saferollout.gates.scoring import OWN_REQUESTS

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
JSON, PNG = "application/json", "image/png"


@dataclass
class Kept:
    """A collection in memory."""

    kept: list[CollectedEvent]
    blobs: dict[str, bytes] = field(default_factory=dict)
    is_complete: bool = True

    def events(self, _since: datetime) -> Iterator[CollectedEvent]:
        """All of them."""
        return iter(self.kept)

    def content(self, blob: str) -> bytes:
        """A blob's."""
        return self.blobs[blob]


_ids = itertools.count()


def event(data: Any = None, content_type: str = JSON, **more: Any) -> CollectedEvent:
    """A request or an answer, with an id of its own unless it is said."""
    given: dict[str, Any] = {
        "id": f"id-{next(_ids)}",
        "blob": "",
        "size": 10,
        "method": "POST",
        "path": "/score",
        "client_id": "",
    }
    return CollectedEvent(content_type=content_type, data=data, **(given | more))


def recorded(
    kept: list[CollectedEvent] | Kept, responses: list[CollectedEvent] | None = None, **options: Any
) -> Recorded:
    """What is recorded of it."""
    redact = options.pop("redact", [])
    given: dict[str, Any] = {"size": 100, "max_bytes": 10**6, "scored_at": "/endpoints/shop/score", "folder": "bodies"}
    requests = kept if isinstance(kept, Kept) else Kept(kept)
    answers = Kept(responses) if responses is not None else None
    return record(requests, answers, since=SINCE, redaction=Redaction(redact), **(given | options))


def sent(found: Recorded) -> list[Any]:
    """The JSON bodies."""
    return [json.loads(line.text)["request"] for line in found.lines]


def test_each_different_request_is_taken_once() -> None:
    """However often it was sent; the order of keys makes no difference."""
    found = recorded([event({"x": number % 3, "y": 0}) for number in range(30)] + [event({"y": 0, "x": 1})])

    assert sent(found) == [{"x": 0, "y": 0}, {"x": 1, "y": 0}, {"x": 2, "y": 0}]
    assert found.summary == "3 requests of 31 collected (28 the same as another one)"


@pytest.mark.parametrize(("total", "size"), [(7, 7), (1000, 7), (1001, 10), (13, 5)])
def test_a_sample_is_spread_over_the_time(total: int, size: int) -> None:
    """The first and nearly the last one are in it, and no gap is much larger than it must be."""
    found = [request["x"] for request in sent(recorded([event({"x": number}) for number in range(total)], size=size))]
    gaps = [later - earlier for earlier, later in itertools.pairwise(found)]

    assert len(found) == size
    assert found[0] == 0
    assert total - found[-1] <= 2 * total / size
    assert max(gaps) <= 3 * total / size


def test_the_size_is_bounded() -> None:
    """Of many large requests fewer are taken, still spread; one that is larger alone is not."""
    kept = [event({"x": number, "pad": "x" * 500}) for number in range(20)] + [event({"pad": "x" * 9000})]
    found = recorded(kept, max_bytes=3000)

    assert 0 < sum(line.size for line in found.lines) <= 3000
    assert {request["x"] for request in sent(found)} >= {0, 19}


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (event({"x": 1}, client_id=f"{OWN_REQUESTS}1"), "sent by a rollout"),
        (event({"x": 1}, method="GET"), "not for scoring"),
        (event({"x": 1}, path="/swagger.json"), "not for scoring"),
        (event(None, size=0), "empty"),
        (event(None, PNG, blob="b", size=10**9), "too large"),
        (event({"x": float("nan")}), "not valid JSON"),
        (event({"x": "\ud800"}), "not valid JSON"),
        (event({"x": 1}, id="failed"), "answered with an error"),
        (event({"x": 1}, id="broken"), "answered with an error"),
        (event({"x": 1}, id="odd"), "answered with an error"),
        (event({"x": 1}, id="unheard"), "not answered"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_would_fail_or_is_nobodys_request_is_left_out(request_: CollectedEvent, reason: str) -> None:
    """What live answers with an error would stop every candidate."""
    good = [event({"good": number}) for number in range(20)]
    answers = [event([1], id=each.id) for each in (*good, request_) if each.id != "unheard"]
    bad = {
        "failed": event({"message": "An unexpected error occurred in scoring script."}, id="failed"),
        "broken": event({"error": "no such column"}, id="broken"),
        "odd": event(None, "text/html", id="odd", blob="page"),
    }
    answers = [bad.get(each.id, each) for each in answers]

    found = recorded([*good, request_], answers)

    assert (found.left_out, len(found.lines)) == ({reason: 1}, 20)


def test_answers_that_were_not_all_read_leave_nothing_out() -> None:
    """Of an answer that may be in the part that was not read nothing is known."""
    found = record(
        Kept([event({"x": 1})]),
        Kept([event([1])], is_complete=False),
        since=SINCE,
        size=5,
        max_bytes=10**4,
        scored_at="/score",
        folder="bodies",
        redaction=Redaction([]),
    )

    assert sent(found) == [{"x": 1}]


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    """Bodies other than JSON are files with the ending of their type, named by what is in them, each once."""
    blobs = {"a": b"\x89PNG", "b": b"\x89PNG", "c": b"a,b\n", "large": b'{"x": 2}', "not JSON": b"{"}
    kept = [event({"x": 1}), event(None, "application/json; charset=utf-8", blob="large")]
    kept += [event(None, PNG, blob=name) for name in "ab"]
    kept += [event(None, "text/csv", blob="c"), event(None, JSON, blob="not JSON")]

    found = recorded(Kept(kept, blobs))
    for line in found.lines:
        if line.body_file:
            (tmp_path / line.body_file).parent.mkdir(exist_ok=True)
            (tmp_path / line.body_file).write_bytes(line.body)
    (tmp_path / "requests.jsonl").write_text("".join(f"{line.text}\n" for line in found.lines))

    read = read_requests(tmp_path / "requests.jsonl")
    assert [each.request for each in read if each.body is None] == [{"x": 1}, {"x": 2}]
    assert [(each.body, each.content_type) for each in read if each.body] == [
        (b"\x89PNG", PNG),
        (b"a,b\n", "text/csv"),
        (b"{", "application/octet-stream"),
    ]
    assert [Path(line.body_file).suffix for line in found.lines if line.body_file] == [".png", ".csv", ".bin"]
    assert found.left_out == {"the same as another one": 1}


def test_redacted_requests_that_are_the_same_are_one() -> None:
    """Who sent it made the difference; what cannot be redacted by a path is left out."""
    kept = [event({"x": 1, "user": name}) for name in ("ann", "ben")] + [event(None, PNG, blob="a")]
    found = recorded(Kept(kept, {"a": b"ann's face"}), redact=["user"])

    assert sent(found) == [{"x": 1}]
    assert found.left_out == {"the same as another one": 1, "left out by the redaction": 1}
