"""What no client should send: it is refused, and never answered 500, nor does it leave a traceback or a connection.

LOCALAZURE_REQUESTS tells how many requests to make up; some by default, the same each time.
"""

import collections
import contextlib
import os
import socket
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import hypothesis
import psutil
import pytest

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm
from tests.support.localazure.malformed import Attempt, attempts
from tests.support.localazure.sdk import register

REQUESTS = int(os.environ.get("LOCALAZURE_REQUESTS", "0"))
DEFAULT = 1200
BLOB = "there"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalAzure, Arm]]:
    """A local Azure that no other test uses."""
    state: Path = tmp_path_factory.mktemp("malformed")
    with LocalAzure(state, timing="instant") as azure, Arm(azure.environ) as arm:
        yield azure, arm


class Attacker:
    """Sends requests with whatever gets them past the guards, and counts the answers."""

    def __init__(self, arm: Arm) -> None:
        self._arm = arm
        self._admin = arm.environ["LOCALAZURE_ADMIN_TOKEN"]
        answer = arm.call("POST", "codes/any/versions/1/startPendingUpload", {}).json()
        uri = urllib.parse.urlsplit(answer["blobReferenceForConsumption"]["credential"]["sasUri"])
        self._sas = uri.query
        self._container = uri.path.rpartition("/")[2]
        self.blob = f"{uri.path}/{BLOB}?{uri.query}"
        arm.http.put(self.blob, content=b"0123456789").raise_for_status()
        self.counts: collections.Counter[int] = collections.Counter()

    def routes(self) -> list[tuple[str, list[str]]]:
        """All that there are, with their methods."""
        found = self._arm.http.get("/localazure/routes", headers=self._headers("/localazure")).raise_for_status()
        return [(route["path"], route["methods"]) for route in found.json()["value"]]

    def known(self, name: str) -> list[str]:
        """Good values for a parameter of a path."""
        environ = self._arm.environ
        return {
            "subscription": [environ["AZURE_SUBSCRIPTION_ID"]],
            "group": ["local"],
            "workspace": ["local"],
            "location": ["local"],
            "provider": ["Microsoft.MachineLearningServices"],
            "tenant": [environ["AZURE_TENANT_ID"]],
            "workspace_id": [environ["AZURE_LOG_ANALYTICS_WORKSPACE_ID"]],
            "registry": ["azureml"],
            "datastore": ["workspaceblobstore"],
            "container": [self._container],
            "endpoint": ["fuzzed", "fuzzed", "fuzzed-k8s", "new"],
            "deployment": ["blue", "blue", "new"],
            "kind": ["models", "codes", "environments", "data"],
            "name": [BLOB, "scale-model", "scale-code", "scale-env", "minimal-py311-inference"],
            "version": ["1", "2"],
        }.get(name, ["1"])

    def send(self, attempt: Attempt) -> httpx.Response:
        """Send it; its answer."""
        target = attempt.target
        if target.startswith("/storage"):
            target += "&" + self._sas
        headers = [(name.encode(), value.encode()) for name, value in self._headers(target).items()] + attempt.headers
        request = self._arm.http.build_request(attempt.method, "/", headers=headers, content=attempt.body)
        request.extensions["target"] = target.encode()
        answer = self._arm.http.send(request)
        self.counts[answer.status_code] += 1
        self._undo(target, answer)
        return answer

    def _headers(self, path: str) -> dict[str, str]:
        admin = path.startswith("/localazure")
        return {"Authorization": f"Bearer {self._admin}"} if admin else {}

    def _undo(self, target: str, answer: httpx.Response) -> None:
        """End faults, outages, and tokens that have expired: what comes next shall get as far as this."""
        if not target.startswith("/localazure") or answer.status_code >= 300:
            return
        if "/tokens" in target:
            self._arm.http.post("/localazure/tokens", json={"life_s": 3600}, headers=self._headers(target))
            self._arm.http.headers["Authorization"] = f"Bearer {self._arm.token()}"
        elif answer.status_code in (201, 204):
            self._arm.http.delete("/localazure/faults", headers=self._headers(target))


def test_no_request_is_answered_500(
    alone: tuple[LocalAzure, Arm], record_property: Callable[[str, object], None]
) -> None:
    """Every route, with almost every value that is almost right; the log has no traceback."""
    azure, arm = alone
    assets = register(azure.environ)
    arm.endpoint("fuzzed")
    arm.deploy("fuzzed", "blue", assets)
    arm.endpoint("fuzzed-k8s", compute=f"{arm.workspace}/computes/any")
    arm.score("fuzzed", {}, "blue")
    attacker = Attacker(arm)
    routes = attacker.routes()

    @hypothesis.settings(
        max_examples=REQUESTS or DEFAULT,
        derandomize=not REQUESTS,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(attempts(routes, attacker.known))
    def fuzz(attempt: Attempt) -> None:
        try:
            answer = attacker.send(attempt)
        except httpx.LocalProtocolError:
            hypothesis.reject()  # no client could send it
        assert answer.status_code < 500 or answer.status_code == 501, (attempt, answer.text)

    fuzz()
    record_property(
        "malformed requests",
        f"{sum(attacker.counts.values())} to {len(routes)} routes: {dict(sorted(attacker.counts.items()))}",
    )
    assert "Traceback" not in (azure.state_dir / "localazure.log").read_text(), azure.log(60)


@pytest.mark.parametrize(
    "value", ["bytes=", "bytes=a-b", "bytes=-5", "bytes=5-2", "bytes=0-1,2-3", "items=0-1", "bytes=²-"]
)
def test_a_range_that_is_none_is_refused(alone: tuple[LocalAzure, Arm], value: str) -> None:
    """400 as Blob Storage answers it; one that begins behind the end is 416."""
    blob = Attacker(alone[1]).blob
    for name in ("Range", "x-ms-range"):
        answer = alone[1].http.get(blob, headers=[(name.encode(), value.encode())])
        assert (answer.status_code, answer.headers["x-ms-error-code"]) == (400, "InvalidHeaderValue")
    behind = {"Range": f"bytes={10**17}-"}
    assert alone[1].http.get(blob, headers=behind).headers["x-ms-error-code"] == "InvalidRange"
    assert alone[1].http.get(blob, headers={"Range": "bytes=2-3"}).text == "23"


@pytest.mark.parametrize("encoding", ["none", "base64", "idna", "", "utf-7", "utf-8\0"])
def test_a_block_list_in_an_unknown_encoding_is_refused(alone: tuple[LocalAzure, Arm], encoding: str) -> None:
    """400, whatever Python's parser makes of the name."""
    body = f'<?xml version="1.0" encoding="{encoding}"?><BlockList><Latest>+</Latest></BlockList>'
    answer = alone[1].http.put(Attacker(alone[1]).blob + "&comp=blocklist", content=body.encode())
    assert (answer.status_code, answer.headers["x-ms-error-code"][:7]) == (400, "Invalid")


def test_what_is_not_text_is_no_form(alone: tuple[LocalAzure, Arm]) -> None:
    """Whoever asks for a token needs none before: the answer is Entra's, and no failure."""
    url = f"{alone[1].url}/{alone[1].environ['AZURE_TENANT_ID']}/oauth2/v2.0/token"
    answer = httpx.post(url, content=b"grant_type=\xff&\xfe=1", verify=alone[1].tls)
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("query", ["hits=a", "hits=-1", "timeout_s=nan", "timeout_s=inf", "timeout_s=1e9", "hits=²"])
def test_a_wait_for_a_fault_is_a_number(alone: tuple[LocalAzure, Arm], query: str) -> None:
    """400, and nothing is waited for."""
    azure, arm = alone
    with azure.chaos.answer(503, path="none") as fault:
        admin = {"Authorization": f"Bearer {azure.environ['LOCALAZURE_ADMIN_TOKEN']}"}
        assert arm.http.get(f"/localazure/faults/{fault.id}?{query}", headers=admin).status_code == 400


@pytest.mark.parametrize(
    "request_text",
    [
        "GET / HTTP/x",
        "GET /",
        "\0\0\0",
        "GET / HTTP/1.1\r\nHost",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: none",
        "GET / HTTP/1.1\r\nHost: a\r\nA: " + "b" * 1_000_000,
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz",
    ],
)
def test_what_is_not_http_is_refused(alone: tuple[LocalAzure, Arm], request_text: str) -> None:
    """Or the connection is closed; local Azure goes on."""
    azure, arm = alone
    port = int(azure.environ["AZURE_AUTHORITY_HOST"].rpartition(":")[2])
    plain = socket.create_connection(("127.0.0.1", port), timeout=20)
    with arm.tls.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
        try:
            secure.sendall(request_text.encode() + b"\r\n\r\n")
            answer = secure.recv(100)[:12]
        except OSError:  # closed while the request was on its way
            answer = b""
        assert answer in (b"HTTP/1.1 400", b"HTTP/1.1 501", b"")
    assert arm.http.get("/").status_code == 200


def test_connections_on_which_nothing_is_said_use_up_nothing(alone: tuple[LocalAzure, Arm]) -> None:
    """The kernel keeps them, and others are served meanwhile."""
    azure, arm = alone
    (server,) = psutil.Process(azure.pid).children()
    port = int(azure.environ["AZURE_AUTHORITY_HOST"].rpartition(":")[2])
    before = server.num_fds()
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
        assert arm.http.get("/").status_code == 200
        assert server.num_fds() < before + 100
