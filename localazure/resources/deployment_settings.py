"""A deployment's settings: checked, and with Azure's defaults for what is not given."""

from __future__ import annotations

import re
from typing import Any

from localazure.arm.durations import duration_s
from localazure.arm.errors import bad_request, not_implemented
from localazure.resources import rules
from localazure.resources.quota import cores_of

MANAGED, KUBERNETES = "Managed", "Kubernetes"

_PROBE = {
    "failureThreshold": 30,
    "initialDelay": "PT10S",
    "period": "PT10S",
    "successThreshold": 1,
    "timeout": "PT2S",
}
_REQUESTS = {"maxConcurrentRequestsPerInstance": 1, "maxQueueWait": "PT0.5S", "requestTimeout": "PT5S"}
_SCALE: dict[str, Any] = {
    "minInstances": 1,
    "maxInstances": 1,
    "pollingInterval": "PT1S",
    "targetUtilizationPercentage": 70,
}


def complete(given: dict[str, Any], compute: str) -> dict[str, Any]:
    """The properties of a deployment on an endpoint whose compute is MANAGED or KUBERNETES.

    Raises ArmError (400, 501).
    """
    kind = {MANAGED.lower(): MANAGED, KUBERNETES.lower(): KUBERNETES}.get(str(given.get("endpointComputeType")).lower())
    if kind is None:
        raise not_implemented(f"deployments of the type {given.get('endpointComputeType')}")
    if kind != compute:
        raise bad_request(f"A deployment of a {compute} endpoint must be {compute} too, not {kind}.")
    mount = given.get("modelMountPath")
    if mount and not (str(mount).startswith("/") and ".." not in str(mount)):
        raise bad_request(f"modelMountPath must be an absolute path in the container, not {mount!r}.")
    code = given.get("codeConfiguration") or {}
    if bool(code.get("codeId")) != bool(code.get("scoringScript")):
        raise bad_request("codeConfiguration must have both codeId and scoringScript, or be left out.")
    for name, value in (given.get("environmentVariables") or {}).items():
        if not re.fullmatch(r"[^=\s\0#][^=\s\0]*", name) or "\0" in str(value):
            raise bad_request(f"environmentVariables: {name!r} must be a variable's name, and have a value of text.")
    properties = {
        "model": None,
        "description": None,
        "environmentVariables": {},
        "appInsightsEnabled": False,
        "modelMountPath": None,
        **_present(given),
        "egressPublicNetworkAccess": rules.choice(
            "egressPublicNetworkAccess", given.get("egressPublicNetworkAccess"), ("Enabled", "Disabled"), "Enabled"
        ),
        "endpointComputeType": kind,
        "codeConfiguration": code or None,
        "properties": given.get("properties") or {},
        "requestSettings": _REQUESTS | _present(given.get("requestSettings")),
        "livenessProbe": _PROBE | _present(given.get("livenessProbe")),
        "readinessProbe": _PROBE | _present(given.get("readinessProbe")),
        **(_kubernetes(given) if kind == KUBERNETES else _managed(given)),
    }
    settings = properties["requestSettings"]
    limit_ms = rules.MAX_KUBERNETES_TIMEOUT_MS if kind == KUBERNETES else rules.MAX_REQUEST_TIMEOUT_MS
    rules.check_request_timeout(duration_s(settings["requestTimeout"]) * 1000, limit_ms)
    duration_s(settings["maxQueueWait"])
    _check_count("requestSettings.maxConcurrentRequestsPerInstance", settings["maxConcurrentRequestsPerInstance"], 1)
    for probe in ("livenessProbe", "readinessProbe"):
        rules.check_probe(probe, properties[probe])
    if not isinstance(properties["appInsightsEnabled"], bool):
        raise bad_request(f"appInsightsEnabled must be true or false, not {properties['appInsightsEnabled']!r}.")
    if collector := properties.get("dataCollector"):
        properties["dataCollector"] = _collector(collector)
    return properties


def capacity(sku: dict[str, Any], properties: dict[str, Any]) -> Any:
    """How many instances are asked for: so many, or the least that the scale settings allow. Raises ArmError (400)."""
    rules.choice("sku.name", sku.get("name"), ("Default",), "Default")
    given = sku.get("capacity")
    return properties["scaleSettings"].get("minInstances", 1) if given is None else given


def _managed(given: dict[str, Any]) -> dict[str, Any]:
    if not given.get("instanceType"):
        raise bad_request("instanceType is required for a managed online deployment.")
    cores_of(str(given["instanceType"]))
    if given.get("containerResourceRequirements"):
        raise bad_request(
            "containerResourceRequirements are for Kubernetes: instanceType says what a managed one gets."
        )
    scale = given.get("scaleSettings") or {"scaleType": "Default"}
    if scale.get("scaleType") != "Default":
        raise bad_request("A managed online deployment supports the scale type Default only.")
    return {"scaleSettings": scale}


def _kubernetes(given: dict[str, Any]) -> dict[str, Any]:
    resources = _present(given.get("containerResourceRequirements"))
    for which, amounts in resources.items():
        for name, amount in _present(amounts).items():
            if not re.fullmatch(r"\d+(\.\d+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?", str(amount)):
                raise bad_request(f"{which}.{name} must be an amount as Kubernetes writes it, not '{amount}'.")
    scale: dict[str, Any] = _present(given.get("scaleSettings")) or {"scaleType": "Default"}
    if scale.get("scaleType") == "TargetUtilization":
        scale = {**_SCALE, **scale}
        _check_count("scaleSettings.minInstances", scale["minInstances"], 0)
        _check_count("scaleSettings.maxInstances", scale["maxInstances"], max(1, scale["minInstances"]))
        _check_count("scaleSettings.targetUtilizationPercentage", scale["targetUtilizationPercentage"], 1, 100)
        duration_s(scale["pollingInterval"])
        scale["minInstances"] = max(1, scale["minInstances"])
    elif scale.get("scaleType") != "Default":
        raise bad_request("The scale type must be Default or TargetUtilization.")
    # The SDK cannot read a deployment without them.
    resources = {"containerResourceLimits": None, "containerResourceRequests": None} | resources
    return {"scaleSettings": scale, "containerResourceRequirements": resources}


def _collector(given: dict[str, Any]) -> dict[str, Any]:
    """With the words as Azure writes them: clients send them in small letters, and know them in capitals only."""
    collections = {}
    for name, collection in (given.get("collections") or {}).items():
        mode = str(collection.get("dataCollectionMode")).capitalize()
        if mode not in ("Enabled", "Disabled"):
            raise bad_request(f"dataCollector.collections.{name}.dataCollectionMode must be Enabled or Disabled.")
        rate = collection.get("samplingRate")
        if rate is not None and not (isinstance(rate, int | float) and 0 < rate <= 1):
            raise bad_request(f"dataCollector.collections.{name}.samplingRate must be more than 0 and at most 1.")
        collections[name] = {**collection, "dataCollectionMode": mode}
    rolling = str(given.get("rollingRate") or "Hour").capitalize()
    if rolling not in ("Year", "Month", "Day", "Hour", "Minute"):
        raise bad_request("dataCollector.rollingRate must be Year, Month, Day, Hour or Minute.")
    return {**given, "collections": collections, "rollingRate": rolling}


def _check_count(name: str, count: Any, least: int, most: int | None = None) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < least or (most is not None and count > most):
        limits = f"at least {least}" + (f" and at most {most}" if most is not None else "")
        raise bad_request(f"{name} must be an integer of {limits}, not {count!r}.")


def _present(given: dict[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (given or {}).items() if value is not None}
