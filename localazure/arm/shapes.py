"""What request bodies may hold: the properties that local Azure knows, as the clients serialise them."""

from __future__ import annotations

from typing import Any

from localazure.arm.errors import bad_request, not_implemented

ANY = None
"""A value, or names and values, that are the client's own."""

Shape = dict[str, Any]


def check(body: dict[str, Any], shape: Shape, where: str = "") -> None:
    """Raise ArmError: 501 for a property that is not in `shape`, 400 for a plain value where an object belongs.

    A property without a value says nothing, and may have any name.
    """
    for key, value in body.items():
        path = f"{where}.{key}" if where else key
        if value is None:
            continue
        if key not in shape:
            raise not_implemented(f"the property '{path}' of the request body")
        inner = shape[key]
        if inner is ANY:
            continue
        if not isinstance(value, dict):
            raise bad_request(f"'{path}' must be an object, not {value!r}.")
        for name, found in value.items() if EACH in inner else ():
            if not isinstance(found, dict):
                raise bad_request(f"'{path}.{name}' must be an object, not {found!r}.")
            check(found, inner[EACH], f"{path}.{name}")
        if EACH not in inner and inner is not MAP:
            check(value, inner, path)


EACH = "*"
"""A shape with this key is that of names, which are the client's own, with an object of one shape behind each."""

MAP: Shape = {}
"""Names and plain values, all of them the client's own."""

_SKU = dict.fromkeys(("name", "tier", "size", "family", "capacity"), ANY)
_IDENTITY = {"type": ANY, "principalId": ANY, "tenantId": ANY, "userAssignedIdentities": MAP}
_RESOURCE = {"id": ANY, "name": ANY, "type": ANY, "systemData": ANY}
_TRACKED = {**_RESOURCE, "location": ANY, "tags": MAP, "kind": ANY, "identity": _IDENTITY}
_DESCRIBED = {"description": ANY, "properties": MAP, "provisioningState": ANY}
_PROBE = dict.fromkeys(("failureThreshold", "initialDelay", "period", "successThreshold", "timeout"), ANY)
_CONTAINER = dict.fromkeys(("cpu", "gpu", "memory"), ANY)
_ROUTE = {"path": ANY, "port": ANY}

ENDPOINT = {
    **_TRACKED,
    "properties": {
        **_DESCRIBED,
        "authMode": ANY,
        "keys": {"primaryKey": ANY, "secondaryKey": ANY},
        "scoringUri": ANY,
        "swaggerUri": ANY,
        "compute": ANY,
        "traffic": MAP,
        "mirrorTraffic": MAP,
        "publicNetworkAccess": ANY,
    },
}
ENDPOINT_PATCH = {"tags": MAP, "identity": _IDENTITY}
REGENERATE_KEYS = {"keyType": ANY, "keyValue": ANY}

DEPLOYMENT = {
    **_TRACKED,
    "sku": _SKU,
    "properties": {
        **_DESCRIBED,
        "endpointComputeType": ANY,
        "model": ANY,
        "modelMountPath": ANY,
        "codeConfiguration": {"codeId": ANY, "scoringScript": ANY},
        "environmentId": ANY,
        "environmentVariables": MAP,
        "instanceType": ANY,
        "appInsightsEnabled": ANY,
        "egressPublicNetworkAccess": ANY,
        "requestSettings": {"maxConcurrentRequestsPerInstance": ANY, "maxQueueWait": ANY, "requestTimeout": ANY},
        "livenessProbe": _PROBE,
        "readinessProbe": _PROBE,
        "scaleSettings": {
            "scaleType": ANY,
            "minInstances": ANY,
            "maxInstances": ANY,
            "pollingInterval": ANY,
            "targetUtilizationPercentage": ANY,
        },
        "containerResourceRequirements": {
            "containerResourceLimits": _CONTAINER,
            "containerResourceRequests": _CONTAINER,
        },
        "dataCollector": {
            "collections": {EACH: dict.fromkeys(("clientId", "dataCollectionMode", "dataId", "samplingRate"), ANY)},
            "requestLogging": {"captureHeaders": ANY},
            "rollingRate": ANY,
        },
    },
}
DEPLOYMENT_PATCH = {"tags": MAP, "sku": _SKU, "identity": _IDENTITY}
LOGS = {"containerType": ANY, "tail": ANY}

_ASSET = {**_DESCRIBED, "tags": MAP, "isArchived": ANY, "isAnonymous": ANY, "stage": ANY}
VERSIONS = {
    "codes": {**_RESOURCE, "properties": {**_ASSET, "codeUri": ANY}},
    "models": {
        **_RESOURCE,
        "properties": {**_ASSET, "modelUri": ANY, "modelType": ANY, "flavors": {EACH: {"data": MAP}}},
    },
    "data": {**_RESOURCE, "properties": {**_ASSET, "dataType": ANY, "dataUri": ANY, "referencedUris": ANY}},
    "environments": {
        **_RESOURCE,
        "properties": {
            **_ASSET,
            "autoRebuild": ANY,
            "build": {"contextUri": ANY, "dockerfilePath": ANY},
            "condaFile": ANY,
            "environmentType": ANY,
            "image": ANY,
            "inferenceConfig": {"livenessRoute": _ROUTE, "readinessRoute": _ROUTE, "scoringRoute": _ROUTE},
            "osType": ANY,
        },
    },
}
CONTAINER = {
    **_RESOURCE,
    "properties": {**_DESCRIBED, "tags": MAP, "isArchived": ANY, "latestVersion": ANY, "nextVersion": ANY},
}
UPLOAD = {"pendingUploadId": ANY, "pendingUploadType": ANY}
