"""What no client should send: it is refused, and never answered 500, nor does it leave a traceback or a connection.

LOCALAZURE_REQUESTS tells how many requests to make up; some by default, the same each time.
"""

import collections
import os
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import hypothesis
import pytest

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm
from tests.support.localazure.malformed import Attempt, attempts
from tests.support.localazure.sdk import register

REQUESTS = int(os.environ.get("LOCALAZURE_REQUESTS", "0"))
DEFAULT = 1500
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
        arm.http.put(f"{uri.path}/{BLOB}?{uri.query}", content=b"0123456789").raise_for_status()
        self.counts: collections.Counter[str] = collections.Counter()

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
            "container": ["azureml-blobstore"],
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
        headers = {**self._headers(target), **attempt.headers}
        request = self._arm.http.build_request(attempt.method, "/", headers=headers, content=attempt.body)
        request.extensions["target"] = target.encode()
        answer = self._arm.http.send(request)
        self.counts[f"{answer.status_code // 100}xx"] += 1
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
        max_examples=REQUESTS or DEFAULT, derandomize=not REQUESTS, database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
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
