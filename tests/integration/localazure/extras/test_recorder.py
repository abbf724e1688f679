"""A recording of the management plane."""

import json
import re
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, Assets
from tests.support.localazure.sdk import register

BODY = {"location": "local", "properties": {"authMode": "Key"}, "tags": {"a": "b"}}
TAPED = "onlineEndpoints/taped"


def record(path: Path) -> tuple[list[str], Assets]:
    """Record some requests; returns the secrets that were in them."""
    with LocalAzure(record=path, timing="instant") as azure, Arm(azure.environ) as arm:
        assets = register(azure.environ)
        arm.run("PUT", TAPED, BODY)
        old = arm.key("taped")
        arm.run("POST", f"{TAPED}/regenerateKeys", {"keyType": "Primary"})
        sas = arm.call("POST", "datastores/workspaceblobstore/listSecrets").json()["sasToken"]
        arm.http.get("/storage.blob.localazure/azureml-blobstore/none?" + sas)
        arm.http.get("/")
        identity = azure.environ["IDENTITY_HEADER"]
        for name in ("X-IDENTITY-HEADER", "secret"):
            url = azure.environ["IDENTITY_ENDPOINT"]
            arm.http.get(url, params={"resource": "r"}, headers={name: identity}).raise_for_status()
        variables: dict[str, Any] = {"environmentVariables": {"CONNECTION": "Server=db;Pwd=of-the-database"}}
        arm.call("PUT", f"{TAPED}/deployments/blue", arm.deployment(assets, **variables))
        shown = arm.get(f"{TAPED}/deployments/blue")["properties"]
        assert shown["environmentVariables"] == variables["environmentVariables"]
        arm.get(f"{TAPED}/deployments")
        with azure.chaos.reset(path=TAPED), pytest.raises(httpx.HTTPError):
            arm.call("GET", TAPED)
        token = str(arm.http.headers["Authorization"]).removeprefix("Bearer ")
        signature = re.search(r"sig=([^&]+)", sas)
        assert signature
        secrets = [old, arm.key("taped"), token, signature[1], azure.environ["AZURE_CLIENT_SECRET"], identity]
        return [*secrets, "of-the-database", azure.environ["LOCALAZURE_ADMIN_TOKEN"]], assets


def test_a_recording_has_every_request_and_no_secret(tmp_path: Path) -> None:
    """Method, path, bodies, status; readable by the owner only; uploads by their length, a reset without an answer."""
    path = tmp_path / "taped.jsonl"
    secrets, assets = record(path)
    text = path.read_text()
    assert not [secret for secret in secrets if secret in text]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in text.splitlines()]
    (put,) = [line for line in lines if line["method"] == "PUT" and line["path"].endswith(TAPED)]
    assert put["body"] == BODY
    assert put["headers"]["authorization"] == "***"
    assert put["query"] == {"api-version": "2025-12-01"}
    assert (put["answer"]["status"], put["answer"]["body"]["name"]) == (201, "taped")
    assert put["answer"]["headers"]["azure-asyncoperation"]
    (keys, _) = [line for line in lines if line["path"].endswith("/listKeys")]
    assert keys["answer"]["body"] == {"primaryKey": "***", "secondaryKey": "***"}
    uploads = [line for line in lines if line["method"] == "PUT" and "/storage.blob." in line["path"]]
    assert uploads
    assert {tuple(line["body"]) for line in uploads if line["body"]} == {("bytes",)}
    (reset,) = [line for line in lines if line["method"] == "GET" and line["path"].endswith(TAPED)]
    assert reset["answer"] is None
    assert any(line["path"].endswith(assets.models[0].rpartition("/models")[2]) for line in lines)
    assert not [line for line in lines if line["path"].startswith("/localazure") or line["path"] == "/"]
