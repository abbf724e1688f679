"""Prometheus as a source, spoken to over HTTP in its own query API."""

import json
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from saferollout.config.sources import SourceConfig, SourceKind
from saferollout.domain.errors import AzureFailed
from saferollout.gates.sources.counts import Ledger
from saferollout.gates.sources.prometheus import Prometheus
from saferollout.gates.sources.windows import Windows
from saferollout.judge import Batch

MINUTE = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def vector(**values: float | str) -> dict[str, Any]:
    """An instant vector with a value by deployment."""
    result = [{"metric": {"deployment": name}, "value": [0, str(value)]} for name, value in values.items()]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


@dataclass
class Server:
    """A Prometheus that answers as the test says."""

    answers: dict[tuple[str, float], Any] = field(default_factory=dict)
    """What a query gives at a time."""
    url: str = ""
    status: int = 200
    tokens: set[str | None] = field(default_factory=set)


@pytest.fixture
def server(serve: Callable[[type[BaseHTTPRequestHandler]], str]) -> Server:
    """On loopback."""
    found = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = parse_qs(url.query)
            found.tokens.add(self.headers["Authorization"])
            answer = found.answers.get((query["query"][0], float(query["time"][0])), vector())
            body = json.dumps(answer if url.path == "/prom/api/v1/query" else {"status": "error"}).encode()
            self.send_response(found.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep stderr for what matters."""

    found.url = f"{serve(Handler)}/prom"
    return found


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    """A config names the variable that holds the token, never the token: configs are kept and shown."""
    monkeypatch.setenv("PROMETHEUS_TOKEN", "sesame")


def source(url: str, ledger: Ledger | None = None) -> Prometheus:
    """A source whose first minute is the one after MINUTE, and for which many minutes are over."""
    config = SourceConfig.model_validate(
        {"kind": SourceKind.PROMETHEUS, "url": url, "requests": "all", "errors": "bad", "token_env": "PROMETHEUS_TOKEN"}
    )
    now = iter([MINUTE])
    minutes = Windows(60, 0, clock=lambda: next(now, MINUTE + timedelta(hours=1)))
    return Prometheus(config, minutes, ledger or Ledger(), candidate="green", live="blue")


async def batches_of(source: Prometheus, batches: int) -> list[Batch]:
    """The source's first batches."""
    async with aclosing(source.batches()) as seen:
        return [(await anext(seen)).batch for _ in range(batches)]


def at(minutes: int) -> float:
    """The timestamp so many minutes after MINUTE."""
    return (MINUTE + timedelta(minutes=minutes)).timestamp()


async def test_each_minute_is_asked_for_at_its_end(server: Server) -> None:
    """Requests and errors by deployment; a deployment that nothing is known of is a gap, and NaN is nothing known."""
    server.answers = {
        ("all", at(2)): vector(green=10.5, blue=90),
        ("bad", at(2)): vector(green=11),
        ("all", at(3)): vector(green=7, blue="NaN"),
        ("bad", at(3)): vector(green=1, blue=5),
    }

    first, second, third = await batches_of(source(server.url), 3)

    assert (first.candidate_requests, first.candidate_errors, first.live_requests, first.live_errors) == (
        10.5,
        10.5,
        90,
        0,
    )
    assert (second.candidate_requests, second.live_requests, second.alone_requests, second.alone_errors) == (0, 0, 7, 1)
    assert (third.candidate_requests, third.alone_requests) == (0, 0)
    assert server.tokens == {"Bearer sesame"}


async def test_recorded_requests_are_not_the_users(server: Server) -> None:
    """What the probes sent in that minute is taken off."""
    server.answers = {("all", at(2)): vector(green=10, blue=90), ("bad", at(2)): vector(green=3)}
    ledger = Ledger()
    ledger.note("green", MINUTE + timedelta(seconds=70), 500)

    (batch,) = await batches_of(source(server.url, ledger), 1)

    assert (batch.candidate_requests, batch.candidate_errors, batch.live_requests) == (9, 2, 90)


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (503, True)])
async def test_a_refusal_is_no_evidence(server: Server, status: int, retryable: bool) -> None:
    """It says what Prometheus said, and whether another try may help; never the token."""
    server.status = status
    server.answers = {("all", at(2)): {"status": "error", "error": "parse error: unexpected end"}}

    with pytest.raises(AzureFailed, match=rf"refused a query \({status}\): parse error") as caught:
        await batches_of(source(server.url), 1)

    assert caught.value.retryable is retryable
    assert "sesame" not in str(caught.value)


async def test_no_prometheus_is_no_evidence(unused_tcp_port: int) -> None:
    """Worth another try."""
    with pytest.raises(AzureFailed, match="no connection to Prometheus") as caught:
        await batches_of(source(f"http://127.0.0.1:{unused_tcp_port}"), 1)

    assert caught.value.retryable


async def test_another_kind_of_answer_is_reported(server: Server) -> None:
    """A query that gives no vector cannot be read, and trying again does not help."""
    server.answers = {("all", at(2)): {"status": "success", "data": {"resultType": "scalar", "result": [0, "1"]}}}

    with pytest.raises(AzureFailed, match="gave a scalar, not a value by deployment"):
        await batches_of(source(server.url), 1)
