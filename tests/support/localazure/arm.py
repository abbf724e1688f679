"""The management plane over plain HTTP, for what the SDK would check or hide itself."""

import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import httpx

from localazure.arm.errors import reason_of
from localazure.core.certificates import trusting_only

WAIT_S = 120
FIRST_PAUSE_S = 0.03
LONGEST_PAUSE_S = 0.5
ENDED = ("Succeeded", "Failed", "Canceled")
API_VERSION = "2025-12-01"


@dataclass(frozen=True)
class Assets:
    """ARM ids."""

    code: str
    environment: str
    models: list[str]


class Arm:
    """The workspace's management plane. Paths are relative to the workspace; operations are followed to their end."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.environ = environ
        self.url = environ["AZURE_AUTHORITY_HOST"]
        self.workspace = (
            f"/subscriptions/{environ['AZURE_SUBSCRIPTION_ID']}/resourceGroups/{environ['AZURE_RESOURCE_GROUP']}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{environ['AZUREML_WORKSPACE_NAME']}"
        )
        self.tls = ssl.create_default_context(cafile=trusting_only(environ)["SSL_CERT_FILE"])
        hooks: dict[str, list[Callable[..., Any]]] = {"request": [_add_version]}
        self.http = httpx.Client(base_url=self.url, verify=self.tls, timeout=30, event_hooks=hooks)
        self.scoring = httpx.Client(verify=self.tls, timeout=30)
        self.http.headers["Authorization"] = f"Bearer {self.token()}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.scoring.close()

    def token(self) -> str:
        """A token for the service principal."""
        answer = self.http.post(
            f"/{self.environ['AZURE_TENANT_ID']}/oauth2/v2.0/token",
            data={
                "grant_type": "client_credentials",
                "client_id": self.environ["AZURE_CLIENT_ID"],
                "client_secret": self.environ["AZURE_CLIENT_SECRET"],
                "scope": f"{self.url}/.default",
            },
        )
        return str(answer.raise_for_status().json()["access_token"])

    def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """One request, whatever the answer."""
        return self.http.request(method, f"{self.workspace}/{path}", json=body, params={"api-version": API_VERSION})

    def get(self, path: str) -> dict[str, Any]:
        """Return the resource at a path below the workspace."""
        answer: dict[str, Any] = self.call("GET", path).raise_for_status().json()
        return answer

    def run(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Start an operation that must be accepted, and wait for its end: {"status": …, "error": …}.

        While local Azure itself is changing the resource, as when it tries instances again, that is waited for.
        """
        answer = wait_for(lambda: self.call(method, path, body), lambda found: "is being changed" not in found.text)
        assert answer.status_code in (200, 201, 202, 204), answer.text
        if answer.status_code == 204:
            return {"status": "Succeeded"}
        url = answer.headers.get("Azure-AsyncOperation") or answer.headers["Location"]
        url = url.replace("mfeOperationResults", "mfeOperationsStatus")
        ended: dict[str, Any] = wait_for(lambda: self.http.get(url).json(), lambda found: found["status"] in ENDED)
        return ended

    def endpoint(self, name: str, **properties: Any) -> str:
        """Create or change an endpoint; returns its scoring address."""
        body = {"location": "local", "properties": {"authMode": "Key", **properties}}
        assert self.run("PUT", f"onlineEndpoints/{name}", body)["status"] == "Succeeded"
        return str(self.get(f"onlineEndpoints/{name}")["properties"]["scoringUri"])

    def key(self, endpoint: str) -> str:
        """The endpoint's primary key."""
        return str(self.call("POST", f"onlineEndpoints/{endpoint}/listKeys").json()["primaryKey"])

    def deployment(self, assets: Assets, capacity: int = 1, model: int = 1, **properties: Any) -> dict[str, Any]:
        """The body of a deployment of the test project."""
        return {
            "location": "local",
            "sku": {"name": "Default", "capacity": capacity},
            "properties": {
                "endpointComputeType": "Managed",
                "model": assets.models[model - 1],
                "codeConfiguration": {"codeId": assets.code, "scoringScript": "score.py"},
                "environmentId": assets.environment,
                "instanceType": "Standard_DS3_v2",
                "requestSettings": {"maxConcurrentRequestsPerInstance": 20},
                **properties,
            },
        }

    def autoscale(self, name: str, deployment: str, *, enabled: bool = True) -> None:
        """Create or change an autoscale setting for a deployment, by its path in the workspace."""
        group = self.workspace.partition("/providers/")[0]
        capacity = {"minimum": "1", "maximum": "9", "default": "1"}
        properties = {
            "enabled": enabled,
            "targetResourceUri": f"{self.workspace}/{deployment}",
            "profiles": [{"name": "all day", "capacity": capacity, "rules": []}],
        }
        answer = self.http.put(
            f"{group}/providers/Microsoft.Insights/autoscaleSettings/{name}",
            json={"location": "local", "properties": properties},
            params={"api-version": "2022-10-01"},
        )
        assert answer.status_code in (200, 201), answer.text

    def deploy(self, endpoint: str, name: str, assets: Assets, **changes: Any) -> None:
        """Create or change a deployment of the test project, successfully."""
        path = f"onlineEndpoints/{endpoint}/deployments/{name}"
        ended = self.run("PUT", path, self.deployment(assets, **changes))
        assert ended["status"] == "Succeeded", ended

    def score(self, endpoint: str, body: Any, deployment: str | None = None, **headers: str) -> httpx.Response:
        """Score with the primary key, pinned to `deployment` if given."""
        url = self.get(f"onlineEndpoints/{endpoint}")["properties"]["scoringUri"]
        headers = {"Authorization": f"Bearer {self.key(endpoint)}", **headers}
        if deployment:
            headers["azureml-model-deployment"] = deployment
        return self.scoring.post(url, json=body, headers=headers)

    def processes(self, endpoint: str, deployment: str, least: int) -> set[int]:
        """Those that answer: of a dozen requests, and of more until there are `least`, for who gets one is chance."""
        seen: set[int] = set()

        def ask() -> set[int]:
            seen.update(self.score(endpoint, {}, deployment).json()["pid"] for _ in range(12))
            return seen

        found: set[int] = wait_for(ask, lambda processes: len(processes) >= least)
        return found


def reason(answer: httpx.Response) -> str:
    """The code that says what is wrong: the innermost one."""
    return str(reason_of(answer.json()["error"])["code"])


def message(answer: httpx.Response) -> str:
    """The message of the same."""
    return str(reason_of(answer.json()["error"])["message"])


def lasting(properties: dict[str, Any]) -> dict[str, Any]:
    """Properties without the address of the last operation."""
    own = properties.get("properties") or {}
    return {**properties, "properties": {name: own[name] for name in own if name != "AzureAsyncOperationUri"}}


def _add_version(request: httpx.Request) -> None:
    """Say the version where a test does not, as every client does."""
    if request.url.path.startswith("/subscriptions") and "api-version" not in request.url.params:
        request.url = request.url.copy_set_param("api-version", API_VERSION)


def wait_for(look: Callable[[], Any], enough: Callable[[Any], bool] = bool, timeout_s: float = WAIT_S) -> Any:
    """Look until it is enough; returns what was seen."""
    deadline, pause_s = time.monotonic() + timeout_s, FIRST_PAUSE_S
    while not enough(seen := look()):
        assert time.monotonic() < deadline, f"still {json.dumps(seen, default=str)} after {timeout_s} s"
        time.sleep(pause_s)
        pause_s = min(1.4 * pause_s, LONGEST_PAUSE_S)
    return seen
