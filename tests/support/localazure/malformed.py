"""Requests that clients should not send: what is right but for one or two values, and what is nothing at all."""

import json
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import strategies as st

Json = Any

IDS = "/subscriptions/{subscription}/resourceGroups/local/providers/Microsoft.MachineLearningServices/workspaces/local"

_DEPLOYMENT = {
    "location": "local",
    "tags": {"a": "b"},
    "kind": "Managed",
    "sku": {"name": "Default", "tier": "Standard", "capacity": 1},
    "identity": {"type": "SystemAssigned"},
    "properties": {
        "endpointComputeType": "Managed",
        "model": IDS + "/models/none/versions/1",
        "codeConfiguration": {"codeId": IDS + "/codes/none/versions/1", "scoringScript": "score.py"},
        "environmentId": IDS + "/environments/none/versions/1",
        "environmentVariables": {"A": "b"},
        "instanceType": "Standard_DS3_v2",
        "appInsightsEnabled": False,
        "modelMountPath": "/var/models",
        "egressPublicNetworkAccess": "Enabled",
        "requestSettings": {"requestTimeout": "PT5S", "maxQueueWait": "PT1S", "maxConcurrentRequestsPerInstance": 1},
        "livenessProbe": {"initialDelay": "PT10S", "period": "PT10S", "timeout": "PT2S", "failureThreshold": 3},
        "scaleSettings": {"scaleType": "Default"},
        "dataCollector": {
            "collections": {"request": {"dataCollectionMode": "Enabled", "samplingRate": 0.5}},
            "rollingRate": "Hour",
            "requestLogging": {"captureHeaders": ["a"]},
        },
    },
}
_KUBERNETES = {
    "location": "local",
    "properties": {
        "endpointComputeType": "Kubernetes",
        "model": IDS + "/models/none/versions/1",
        "containerResourceRequirements": {"containerResourceLimits": {"cpu": "1", "memory": "1Gi", "gpu": "0"}},
        "scaleSettings": {
            "scaleType": "TargetUtilization",
            "minInstances": 1,
            "maxInstances": 2,
            "pollingInterval": "PT1S",
            "targetUtilizationPercentage": 70,
        },
    },
}
_ENDPOINT = {
    "location": "local",
    "tags": {"a": "b"},
    "kind": "Managed",
    "identity": {"type": "UserAssigned", "userAssignedIdentities": {"/subscriptions/x": {}}},
    "properties": {
        "authMode": "Key",
        "description": "d",
        "properties": {"a": "b"},
        "traffic": {"blue": 0},
        "mirrorTraffic": {},
        "publicNetworkAccess": "Enabled",
        "keys": {"primaryKey": "a", "secondaryKey": "b"},
    },
}
_VERSION = {
    "properties": {
        "description": "d",
        "tags": {"a": "b"},
        "isAnonymous": False,
        "isArchived": False,
        "modelType": "mlflow_model",
        "modelUri": "azureml://datastores/workspaceblobstore/paths/none",
        "flavors": {"python_function": {"data": {"a": "b"}}},
    }
}
_ENVIRONMENT = {
    "properties": {
        "image": "mcr.microsoft.com/any",
        "osType": "Linux",
        "condaFile": '{"dependencies": ["python=3.11", {"pip": ["numpy"]}]}',
        "build": {"contextUri": "https://127.0.0.1/x", "dockerfilePath": "Dockerfile"},
        "inferenceConfig": {"scoringRoute": {"path": "/score", "port": 5001}},
    }
}
_CODE = {"properties": {"codeUri": "https://127.0.0.1/x", "properties": {"hash_sha256": "a", "hash_version": "2022"}}}

BODIES: dict[str, list[Json]] = {
    "/onlineEndpoints/{endpoint}": [_ENDPOINT],
    "/deployments/{deployment}": [_DEPLOYMENT, _KUBERNETES, {"sku": {"capacity": 1}, "tags": {}}],
    "/regenerateKeys": [{"keyType": "Primary", "keyValue": "abc"}],
    "/getLogs": [{"containerType": "InferenceServer", "tail": 10}],
    "/versions/{version}": [_VERSION, _ENVIRONMENT, _CODE, {"properties": {"dataType": "uri_folder", "dataUri": "x"}}],
    "/{kind}/{name}": [{"properties": {"description": "d", "tags": {"a": "b"}, "isArchived": False}}],
    "/startPendingUpload": [{"pendingUploadId": "a", "pendingUploadType": "TemporaryBlobReference"}],
    ":getBatch": [{"resourceids": [IDS + "/onlineEndpoints/fuzzed"]}],
    "/query": [
        {"query": "AmlOnlineEndpointTrafficLog | where ResponseCode == 200 | take 5", "timespan": "PT1H"},
        {"query": "AmlOnlineEndpointTrafficLog | summarize percentile(TotalDurationMs, 95) by bin(TimeGenerated, 1m)"},
    ],
    "/faults": [{"kind": "answer", "status": 503, "method": "PUT", "path": "none", "times": 1, "retry_after_s": 1}],
    "/tokens": [{"life_s": 3600}],
    "/traffic": [{"traffic": {"blue": 0}, "mirrorTraffic": {}, "tags": {"a": "b"}}],
    "/keys": [{"keyType": "Primary"}],
    "/kill": [{"count": 1}],
}
"""What is right, by the end of the path that it is right for."""

QUERIES = {
    "api-version": ["2024-10-01"],
    "$skip": ["MQ=="],
    "$top": ["1"],
    "count": ["1"],
    "$orderBy": ["createdtime desc"],
    "listViewType": ["All"],
    "tags": ["a=b"],
    "computeType": ["Managed"],
    "name": ["fuzzed"],
    "hash": ["a"],
    "hashVersion": ["2022"],
    "timespan": ["2026-01-01T00:00:00Z/PT1H"],
    "interval": ["PT1M"],
    "metricnames": ["RequestsPerMinute"],
    "metricnamespace": ["a"],
    "aggregation": ["Total"],
    "$filter": ["deployment eq '*'"],
    "filter": ["deployment eq '*'"],
    "starttime": ["2026-01-01T00:00:00Z"],
    "endtime": ["2026-01-01T01:00:00Z"],
    "hits": ["0"],
    "timeout_s": ["0"],
    "comp": ["block", "blocklist", "list", "metadata"],
    "restype": ["container"],
    "blockid": ["MQ=="],
    "prefix": ["a"],
    "resource": ["https://management.azure.com/"],
    "client_id": ["a"],
    "part": ["now"],
}
PLACES = {
    **dict.fromkeys(("comp", "restype", "blockid", "prefix"), "/storage"),
    **dict.fromkeys(
        ("Range", "x-ms-range", "x-ms-blob-type", "If-None-Match", "x-ms-meta-a", "Content-MD5"), "/storage"
    ),
    **dict.fromkeys(("hits", "timeout_s"), "/localazure"),
    **dict.fromkeys(("resource", "client_id", "secret"), "/msi"),
}
"""Where a query parameter or a header means something, if not everywhere."""
HEADERS = {
    "Range": "bytes=0-1",
    "x-ms-range": "bytes=0-1",
    "Content-Type": "application/json",
    "Content-MD5": "abc",
    "Content-Encoding": "gzip",
    "If-None-Match": "*",
    "x-ms-blob-type": "BlockBlob",
    "x-ms-blob-content-type": "text/plain",
    "x-ms-meta-a": "b",
    "x-ms-client-request-id": "mine",
    "Accept": "text/plain",
    "secret": "a.b",
    "Expect": "100-continue",
    "Cookie": "a=b",
}
ODD_CHARACTERS = ["", " ", "\0", "\n", "\r\n", "ä", "\ud800", "\u202e", "a" * 5000]
ODD_NUMBERS = ["-1", "0", "1e999", "NaN", "9" * 5000, "²", "٣"]
ODD_RANGES = [f"bytes={span}" for span in ("", "-", "a-b", "5-2", "-5", "0-1,2-3", "99999999999999999999-")]
ODD_TIMES = [
    *("PT", "PT5S", "P1Y", "PT1e999S", "-PT5S", "P99999999999999D"),
    *("2026-13-99", "2026-01-01T00:00:00", "0001-01-01/P1D", "9999-12-31T23:59:59Z/PT1H"),
]
ODD_SYNTAX = [
    *("/", "//", "..", "../..", "%", "%00", "%ff", "{}", "[]", "null", "=", "==", "AA=A"),
    *("a eq 'b' or", "' or 1=1", "| take -1", "azureml:", "azureml://", "http://[", "Basic", "Bearer", "gzip"),
]
ODD_TEXT = [*ODD_CHARACTERS, *ODD_NUMBERS, *ODD_RANGES, *ODD_TIMES, *ODD_SYNTAX]
ODD_VALUES: list[Json] = [
    *(None, True, False, 0, -1, 1, 5, 101, 1.5, 1e308, -1e308, float("nan"), float("inf"), 2**63, 10**400),
    *([], {}, [[]], [None], [1, "a"], {"a": None}, {"": ""}, {"a": {"b": [1]}}, {"properties": 1}),
]
ODD_ENCODINGS = ["utf-8", "utf-16", "utf-7", "cp037", "idna", "none", "", "base64", "rot13", "'", "utf-8\0"]

texts = st.sampled_from(ODD_TEXT) | st.text(max_size=20) | st.text(string.printable, max_size=20)
values = st.sampled_from(ODD_VALUES) | texts


@dataclass
class Attempt:
    """One request."""

    method: str
    target: str
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


@st.composite
def changed(draw: st.DrawFn, right: Json) -> Json:
    """What is right, with one value that is not, or one that is gone or added."""
    if not isinstance(right, dict | list) or not right or draw(st.integers(0, 5)) == 0:
        return draw(values)
    if isinstance(right, list):
        place = draw(st.integers(0, len(right) - 1))
        return [*right[:place], draw(changed(right[place])), *right[place + 1 :]]
    key = draw(st.sampled_from(sorted(right)))
    match draw(st.integers(0, 9)):
        case 0:
            return {name: value for name, value in right.items() if name != key}
        case 1:
            return {**right, draw(texts): draw(values)}
    return {**right, key: draw(changed(right[key]))}


@st.composite
def bodies(draw: st.DrawFn, path: str) -> bytes:
    """A body for the path: almost right, of another path, a form, XML, deep, or of any bytes."""
    right = next((found for end, found in BODIES.items() if path.endswith(end)), None)
    kind = draw(st.sampled_from(["json"] * 6 + ["other", "form", "xml", "bytes", "deep", "text", "none"]))
    if kind == "json" and right is None and "storage.blob" in path:
        kind = "xml"
    match kind:
        case "json" | "other":
            chosen = right if right and kind == "json" else draw(st.sampled_from(list(BODIES.values())))
            body = draw(changed(draw(st.sampled_from(chosen))))
            encoded = json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
            return encoded.replace(b"\\n", b"\n") if draw(st.booleans()) else encoded
        case "form":
            form = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b", "scope": "c"}
            form[draw(st.sampled_from(sorted(form)))] = "odd"
            return urlencode(form).encode().replace(b"odd", quote(draw(texts), errors="replace").encode()) + draw(
                st.binary(max_size=3)
            )
        case "xml":
            encoding = draw(st.sampled_from(ODD_ENCODINGS))
            blocks = "".join(
                f"<Latest>{draw(st.sampled_from(ODD_TEXT[:6]))}</Latest>" for _ in range(draw(st.integers(0, 2)))
            )
            document = f'<?xml version="1.0" encoding="{encoding}"?><BlockList>{blocks}</BlockList>'
            return document.encode("utf-16" if encoding == "utf-16" else "utf-8", "surrogatepass")
        case "bytes":
            return draw(st.binary(max_size=50))
        case "deep":
            return b'{"a":' * 3000 + b"1" + b"}" * 3000
        case "text":
            return draw(texts).encode("utf-8", "surrogatepass")
    return b""


def encode(text: str) -> str:
    """A part of a path or a query, which may have any character."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def _weighted(routes: list[tuple[str, list[str]]]) -> list[tuple[str, str]]:
    """Paths and methods; the more often, the more they read of what they get."""
    found = []
    for path, methods in routes:
        for method in methods:
            has_body = method in ("PUT", "POST", "PATCH")
            weight = 8 if path.startswith("/storage") and "{name" in path else 4 if has_body or "metrics" in path else 1
            found += [(path, method)] * weight
    return found


def _names(known: Iterable[str], path: str) -> st.SearchStrategy[list[str]]:
    """Some of the names that mean something at the path; above all those that mean something there alone."""
    anywhere = [name for name in known if name not in PLACES]
    here = [name for name in known if path.startswith(PLACES.get(name, " "))]
    few = st.lists(st.sampled_from(anywhere), max_size=2)
    return st.builds(lambda one, more: [one, *more], st.sampled_from(here), few) if here else few


@st.composite
def attempts(draw: st.DrawFn, routes: list[tuple[str, list[str]]], known: Callable[[str], list[str]]) -> Attempt:
    """One request of the routes; `known` gives good values for a parameter of a path."""
    path, method = draw(st.sampled_from(_weighted(routes)))
    parts = []
    for part in path.split("/"):
        name = part.strip("{}").partition(":")[0]
        if not part.startswith("{"):
            parts.append(part)
        elif draw(st.integers(0, 9)) == 0:
            parts.append(encode(draw(texts)))
        else:
            good = known(name)  # the last may be deleted
            parts.append(encode(draw(st.sampled_from(good[-1:] if method == "DELETE" else good))))
    query = {"api-version": "2024-10-01"} if draw(st.integers(0, 19)) else {}
    for name in draw(_names(QUERIES, path)):
        query[name] = draw(st.sampled_from(QUERIES[name]) if draw(st.booleans()) else texts)
    headers = []
    for name in draw(_names(HEADERS, path)):
        value = HEADERS[name] if draw(st.integers(0, 2)) == 0 else draw(texts)
        headers.append((name.encode(), "".join(value.split()).encode("latin-1", "ignore").replace(b"\0", b"")))
    target = "/".join(parts) + "?" + "&".join(f"{name}={encode(value)}" for name, value in query.items())
    body = draw(bodies(path)) if method in ("PUT", "POST", "PATCH") else b""
    return Attempt(method, target, headers, body)
