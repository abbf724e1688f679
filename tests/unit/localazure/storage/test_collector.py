"""The data collector: what it writes where, and whom it believes."""

import asyncio
import base64
import datetime
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from localazure.arm.identity import Identity, new_key
from localazure.core.disk import Disk
from localazure.core.store import Store
from localazure.storage.blobs import Blobs
from localazure.storage.collector import MAX_INLINE_BYTES, PATH, Collected, Collector, Sink

SOURCE = "/subscriptions/s/onlineEndpoints/shop/deployments/blue"
MOMENT = datetime.datetime(2026, 3, 4, 5, 6, 7, tzinfo=datetime.UTC)


class Sender:
    """What sends events, at a time of its own."""

    def __init__(self, directory: Path, store: Store) -> None:
        self.disk = Disk()
        identity = Identity("https://local", "tenant", "application", "secret", new_key())
        self.blobs = Blobs(directory, store, "here:1", b"key", self.disk, identity)
        self.directory = directory
        self.time = MOMENT
        self.collector = Collector(self.blobs, 0, lambda: self.time)
        self.credentials = ""

    def open(self, rolling_rate: str = "Hour", rate: float = 1) -> str:
        """Open a sink for every collection."""
        names = ("request", "response", "model_inputs")
        collections = {name: Collected("data", f"kept/{name}", rate) for name in names}
        self.credentials = self.collector.open(Sink(SOURCE, collections, rolling_rate))
        return self.credentials

    def send(self, name: str, body: bytes, media: str = "application/json", **headers: str) -> int:
        """Send an event; returns the status of the answer."""

        async def post() -> int:
            transport = httpx.ASGITransport(self.collector.application)
            async with httpx.AsyncClient(transport=transport, base_url="http://collector") as client:
                sent = {
                    "authorization": f"Basic {base64.b64encode(self.credentials.encode()).decode()}",
                    "content-type": media,
                    "ce-type": f"azureml.inference.{name}",
                } | {key.replace("_", "-"): value for key, value in headers.items()}
                return (await client.post(PATH, content=body, headers=sent)).status_code

        return asyncio.run(post())

    def files(self, name: str) -> list[str]:
        """The blobs of a collection."""
        return self.blobs.names("data", f"kept/{name}")

    def events(self, name: str) -> list[dict[str, Any]]:
        """What is in its files."""
        target = self.directory.parent / "out"
        folder = self.blobs.write_to("data", f"kept/{name}", target)
        texts = [path.read_text() for path in sorted(folder.rglob("*.jsonl"))]
        return [json.loads(line) for text in texts for line in text.splitlines()]


@pytest.fixture
def sender(tmp_path: Path) -> Iterator[Sender]:
    """One whose files are below the test's directory."""
    with closing(Store(tmp_path / "state.sqlite")) as store:
        yield Sender(tmp_path / "blobs", store)


@pytest.mark.parametrize(
    ("rolling_rate", "folder", "later"),
    [
        ("Year", "2026", datetime.timedelta(days=400)),
        ("Month", "2026/03", datetime.timedelta(days=40)),
        ("Day", "2026/03/04", datetime.timedelta(days=1)),
        ("Hour", "2026/03/04/05", datetime.timedelta(hours=1)),
        ("Minute", "2026/03/04/05/06", datetime.timedelta(minutes=1)),
    ],
)
def test_a_new_file_is_begun_as_often_as_is_asked_for(
    sender: Sender, rolling_rate: str, folder: str, later: datetime.timedelta
) -> None:
    """One file for all events of a period, in the period's folder."""
    sender.open(rolling_rate)
    for _ in range(2):
        assert sender.send("model_inputs", b"[]") == 200
    (first,) = sender.files("model_inputs")
    assert first.rpartition("/")[0] == f"kept/model_inputs/{folder}"
    sender.time += later
    assert sender.send("model_inputs", b"[]") == 200
    assert len({name.rpartition("/")[0] for name in sender.files("model_inputs")}) == 2


def test_an_event_has_what_azure_writes(sender: Sender) -> None:
    """Its own attributes, whatever the sender says, and the sender's in small letters and digits."""
    sender.open()
    said = {
        "trace_id": "7",
        "ce_time": "1700000000",
        "ce_x_request_id": "abc",
        "ce_model_version": "default",
        "ce_source": "elsewhere",
        "ce_data": "nothing",
    }
    sender.send("model_inputs", b'[{"x": 1}]', **said)
    assert sender.events("model_inputs") == [
        {
            "specversion": "1.0",
            "id": "7",
            "source": SOURCE,
            "type": "azureml.inference.model_inputs",
            "datacontenttype": "application/json",
            "time": "2023-11-14T22:13:20Z",
            "data": [{"x": 1}],
            "contentrange": "bytes 0-9/10",
            "correlationid": "abc",
            "xrequestid": "abc",
            "modelversion": "default",
        }
    ]


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b"\xff\x00", "image/png"),
        (b'{"x": 1}', "text/plain"),
        (b"{", "application/json"),
        (b'{"x": NaN}', "application/json"),
        (b"[" * 100_000, "application/json"),
    ],
)
def test_what_is_not_json_is_a_blob_of_its_own(sender: Sender, body: bytes, media: str) -> None:
    """The event has the blob's address."""
    sender.open()
    assert sender.send("request", body, media, trace_id="7", ce_x_request_id="1") == 200
    ((event), names) = (*sender.events("request"), sender.files("request"))
    (raw,) = (name for name in names if not name.endswith(".jsonl"))
    assert (event["data"], event["datainblob"]) == (f"https://here:1/storage.blob.localazure/data/{raw}", "true")
    assert (sender.directory.parent / "out" / raw.removeprefix("kept/")).read_bytes() == body


def test_long_data_are_a_blob_of_their_own(sender: Sender) -> None:
    """The event refers to them; without data it has none."""
    sender.open()
    assert sender.send("response", b'"' + b"x" * MAX_INLINE_BYTES + b'"', trace_id="7") == 200
    assert sender.send("response", b"", media="") == 200
    long, empty = sender.events("response")
    assert long["dataref"].endswith("/kept/response/2026/03/04/05/7")
    assert not {"data", "datainblob"} & set(long)
    assert not {"data", "dataref", "datainblob"} & set(empty)
    assert empty["contentrange"] == "bytes */0"


def test_a_sample_has_both_payloads_of_a_request(sender: Sender) -> None:
    """About as many as are asked for; what the library sends has been drawn before."""
    sender.open(rate=0.3)
    for number in range(60):
        for name in ("request", "response", "model_inputs"):
            assert sender.send(name, b"1", ce_x_request_id=f"id-{number}") == 200
    requests, responses = ([event["xrequestid"] for event in sender.events(name)] for name in ("request", "response"))
    assert requests == responses
    assert 5 < len(requests) < 35
    assert len(sender.events("model_inputs")) == 60


def test_others_cannot_write(sender: Sender) -> None:
    """Who does not know the sink is refused, and so is a collection that it does not have; a full disk is an error."""
    good = sender.open()
    assert sender.send("other", b"1") == 404
    for bad in ("", "mdc:", "mdc:0", f"x:{good.partition(':')[2]}"):
        sender.credentials = bad
        assert sender.send("model_inputs", b"1") == 401
    sender.credentials = good
    sender.disk.full = True
    assert sender.send("model_inputs", b"1") == 507
    assert sender.files("model_inputs") == []
    sender.disk.full = False
    assert sender.send("model_inputs", b"1") == 200
    assert [path.stat().st_mode & 0o777 for path in sender.directory.iterdir()] == [0o600]


def test_equal_sinks_are_one(sender: Sender) -> None:
    """A deployment that is made ready again goes on with what it had; with another rate it is another one."""
    assert sender.open() == sender.open() != sender.open(rate=0.5)
