"""The operations of the recordings, done once, in the order of a user's; each answer by the name of its fact."""

import re
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, Assets, wait_for

FACTS = "onlineEndpoints/facts"
TOKENS = "onlineEndpoints/facts-tokens"
V2022, V2023, OF_ASSETS = "2022-02-01-preview", "2023-04-01-preview", "2023-08-01-preview"


class Walk:
    """What was answered, by operation."""

    def __init__(self, azure: LocalAzure, arm: Arm, assets: Assets, mlflow: str) -> None:
        self._azure = azure
        self._arm = arm
        self._assets = assets
        self._mlflow = mlflow
        self.answers: dict[str, httpx.Response] = {}

    def run(self) -> None:
        """Do all of it."""
        self._workspace()
        self._models()
        self._environments_and_code()
        self._blobs()
        self._endpoints()
        self._deployments()
        self._traffic()
        self._ends()

    def ask(
        self,
        method: str,
        path: str,
        version: str,
        body: Any = None,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """One request; a path without a leading slash is below the workspace."""
        url = path if path.startswith("/") else f"{self._arm.workspace}/{path}".rstrip("/")
        params = {"api-version": version, **(query or {})}
        return self._arm.http.request(method, url, json=body, headers=headers, params=params)

    def note(self, operations: str, answer: httpx.Response) -> httpx.Response:
        """Keep an answer under the names of its facts, which have a semicolon between them."""
        self.answers |= dict.fromkeys(operations.split("; "), answer)
        return answer

    def _workspace(self) -> None:
        self.note("workspace get", self.ask("GET", "", "2024-10-01-preview"))
        store = "datastores/workspaceblobstore"
        self.note("datastore get", self.ask("GET", store, "2024-07-01-preview"))
        wanted = {"expirableSecret": True, "expireAfterHours": 1}
        self.note("datastore secrets", self.ask("POST", f"{store}/listSecrets", "2024-07-01-preview", wanted))

    def _models(self) -> None:
        latest = {"$orderBy": "createdtime desc", "$top": "1"}
        self.note("model versions, no such model", self.ask("GET", "models/none/versions", OF_ASSETS, query=latest))
        uri = self._arm.get(_below(self._assets.models[0]))["properties"]["modelUri"]
        body = {"properties": {"modelUri": uri, "modelType": "custom_model", "description": "as recorded"}}
        one = "models/recorded/versions/1"
        self.note("model create", self.ask("PUT", one, OF_ASSETS, body))
        self.note("model create, exists", self.ask("PUT", one, OF_ASSETS, body))
        self.note("model get", self.ask("GET", one, OF_ASSETS))
        self.note(
            "model versions",
            self.ask("GET", "models/recorded/versions", OF_ASSETS, query={"listViewType": "ActiveOnly"}),
        )
        self.note("models", self.ask("GET", "models", OF_ASSETS))
        body["properties"] |= {"isAnonymous": True}
        self.ask("PUT", "models/anonymous/versions/1", OF_ASSETS, body)
        self.note("model versions, anonymous name", self.ask("GET", "models/anonymous/versions", OF_ASSETS))

    def _environments_and_code(self) -> None:
        body = {"properties": {"image": "local/none", "condaFile": "name: recorded\ndependencies: [python=3.11]\n"}}
        self.note("environment create", self.ask("PUT", "environments/recorded/versions/1", V2023, body))
        one = _below(self._assets.code)
        code = self.note("code get", self.ask("GET", one, "2023-04-01")).json()
        of_files = {"hash": code["properties"]["properties"]["hash_sha256"], "hashVersion": "202208"}
        self.note("code versions by hash", self.ask("GET", "codes/new/versions", "2023-04-01", query=of_files))
        again = {"properties": {**code["properties"], "isAnonymous": True}}
        self.note("code create, exists", self.ask("PUT", one, "2022-05-01", again))

    def _blobs(self) -> None:
        """The file that the SDK leaves its mark on."""
        store = self.answers["datastore get"].json()["properties"]
        token = self.answers["datastore secrets"].json()["sasToken"]
        root = f"https://{store['accountName']}.blob.{store['endpoint']}/{store['containerName']}"
        listed = self._arm.scoring.get(f"{root}{token}&restype=container&comp=list").text
        (marked,) = re.findall(r"<Name>([^<]*)</Name>(?:(?!<Name>).)*upload_status", listed)[:1]
        self.note("blob", self._arm.scoring.head(f"{root}/{urllib.parse.quote(marked)}{token}"))
        self.note("blob, absent", self._arm.scoring.head(f"{root}/nothing{token}"))

    def _endpoints(self) -> None:
        with self._azure.chaos.hang(method="PUT", path=FACTS):
            created = self.ask("PUT", FACTS, V2022, _endpoint())
            self.note("endpoint create; endpoint create, 2025-02; endpoint create, 2022", created)
            status = self._status(created)
            self.note("operation status, running; operation status, running, 2022", status(V2022))
            self.note("operation status, running, api 2023-04-01-preview", status(V2023))
        ended = self._follow(created, V2022)
        self.note("operation status, succeeded; operation status, succeeded, 2022", ended)
        self.note("endpoint get", self.ask("GET", FACTS, V2022))
        self.note("endpoint get, other api-version", self.ask("GET", FACTS, V2023))
        known = {"x-ms-return-client-request-id": "true", "x-ms-client-request-id": "mine"}
        self.note("endpoint list", self.ask("GET", "onlineEndpoints", "2021-03-01-preview", headers=known))
        self.note("endpoint keys", self.ask("POST", f"{FACTS}/listKeys", V2022))
        self.note("deployment list, empty", self.ask("GET", f"{FACTS}/deployments", V2022))
        self._follow(self.ask("PUT", TOKENS, V2022, _endpoint(authMode="AMLToken")), V2022)
        self.note("endpoint token", self.ask("POST", f"{TOKENS}/token", V2022))

    def _deployments(self) -> None:
        blue, old, flow = (f"{FACTS}/deployments/{name}" for name in ("blue", "old", "flow"))
        body = self._deployment(capacity=2)
        created = self.note("deployment create", self.ask("PUT", blue, V2023, body))
        self._follow(created, V2023)
        shown = self.note("deployment get", self.ask("GET", blue, V2023)).json()
        self.note("deployment list", self.ask("GET", f"{FACTS}/deployments", V2023))
        self.note("deployment get, api 2022-02-01-preview", self.ask("GET", f"{FACTS}/deployments", V2022))
        shown["properties"]["requestSettings"].pop("maxQueueWait")
        shown["sku"]["capacity"] = 3
        updated = self.note("deployment update: instances 2 to 3", self.ask("PUT", blue, V2023, shown))
        self._follow(updated, V2023)
        self.note("deployment get after update", self.ask("GET", blue, V2023))
        with self._azure.chaos.fail(method="PUT", path=old):
            of_2022 = {"privateNetworkConnection": False, "scaleSettings": {"scaleType": "Default"}}
            self.note("deployment create, 2022", self.ask("PUT", old, V2022, self._deployment(capacity=1, **of_2022)))
        body = self._deployment(capacity=1)
        for name in ("codeConfiguration", "environmentId"):
            body["properties"].pop(name)
        body["properties"]["model"] = self._mlflow
        self._follow(self.ask("PUT", flow, V2022, body), V2022)
        self.note("deployment get, no code (MLflow)", self.ask("GET", flow, V2022))

    def _traffic(self) -> None:
        with self._azure.chaos.hang(method="PUT", path=FACTS):
            changed = self.ask("PUT", FACTS, V2022, _endpoint(traffic={"blue": 100}))
            self.note("endpoint update: traffic", changed)
            self.note("while traffic changes", self.ask("GET", FACTS, V2022))
        self._follow(changed, V2022)
        self.note("endpoint get after traffic", self.ask("GET", FACTS, V2022))
        self.note("score; score, 2022", self._arm.score("facts", {"value": 3}))

    def _ends(self) -> None:
        self.note("endpoint delete", self.ask("DELETE", TOKENS, V2022))
        self.note("endpoint delete, absent", self.ask("DELETE", "onlineEndpoints/none", V2022))
        group = self._arm.workspace.partition("/providers/")[0]
        template = f"{group}/providers/Microsoft.Resources/deployments/facts"
        self.note("ARM template deployment of an endpoint", self.ask("PUT", template, "2020-06-01", {}))
        status = f"{template}/operationStatuses/08584"
        self.note("ARM template deployment, status of a failed one", self.ask("GET", status, "2020-06-01"))

    def _deployment(self, capacity: int, **properties: Any) -> dict[str, Any]:
        body = self._arm.deployment(self._assets, capacity, description="as recorded", **properties)
        body["properties"].pop("requestSettings")
        return {**body, "tags": {}}

    def _status(self, begun: httpx.Response) -> Callable[[str], httpx.Response]:
        url = urllib.parse.urlsplit(begun.headers["Azure-AsyncOperation"])
        return lambda version: self.ask("GET", url.path, version)

    def _follow(self, begun: httpx.Response, version: str) -> httpx.Response:
        assert begun.status_code == 201, begun.text
        ask = self._status(begun)
        ended: httpx.Response = wait_for(
            lambda: ask(version), lambda answer: answer.json()["status"] in ("Succeeded", "Failed")
        )
        assert ended.json()["status"] == "Succeeded", ended.text
        return ended


def _endpoint(**properties: Any) -> dict[str, Any]:
    """What the SDK sends."""
    asked = {"authMode": "Key", "properties": {}, "mirrorTraffic": {}, "traffic": {}, **properties}
    return {"tags": {}, "location": "local", "identity": {"type": "SystemAssigned"}, "properties": asked}


def _below(arm_id: str) -> str:
    return re.sub(r".*/workspaces/[^/]+/", "", arm_id)


MLFLOW = Path(__file__).parent / "mlflow" / "linear"
