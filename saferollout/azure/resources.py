"""Azure's resources, as JSON, read into the states that a rollout works with."""

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from saferollout.azure.port import Resource
from saferollout.domain.endpoint import DeploymentState, EndpointState
from saferollout.domain.registered_model import RegisteredModel
from saferollout.domain.vm_size import VmSize

SETTINGS = (
    "environmentVariables",
    "modelMountPath",
    "requestSettings",
    "livenessProbe",
    "readinessProbe",
    "egressPublicNetworkAccess",
)
"""What a deployment's answers may depend on, besides what it is made of."""
ADDED = ("AZUREML_MODEL_DIR", "AZUREML_ENTRY_SCRIPT", "AML_APP_ROOT")
"""The variables that Azure adds to a deployment some time after it has been created."""


def endpoint_state(shown: Resource, deployments: Iterable[Resource] = ()) -> EndpointState:
    """The state of an endpoint of which Azure answers `shown`, and of its deployments."""
    properties = shown["properties"]
    return EndpointState(
        name=shown["name"],
        scoring_uri=properties.get("scoringUri") or "",
        provisioning_state=properties.get("provisioningState") or "",
        traffic=_positive(properties.get("traffic")),
        mirror_traffic=_positive(properties.get("mirrorTraffic")),
        tags=shown.get("tags") or {},
        deployments={deployment["name"]: _deployment(deployment) for deployment in deployments},
        resource_id=shown.get("id") or "",
        location=shown.get("location") or "",
    )


def writable(endpoint: Resource) -> Resource:
    """The part of an endpoint, as Azure shows it, that a client may write; what is not known is kept.

    Which fields are read-only: Azure ML's REST specification (`readOnly`), and of `properties.properties` what the
    service writes itself.
    """
    properties = {
        name: value
        for name, value in endpoint["properties"].items()
        if name not in {"provisioningState", "scoringUri", "swaggerUri"} and value is not None
    }
    if isinstance(own := properties.get("properties"), dict):
        service = {"azureml.onlineendpointid", "AzureAsyncOperationUri"}
        properties["properties"] = {name: value for name, value in own.items() if name not in service}
    written = {name: value for name, value in endpoint.items() if name not in {"id", "name", "type", "systemData"}}
    if isinstance(identity := written.get("identity"), dict):
        written["identity"] = {"type": identity.get("type")}
        if of_users := identity.get("userAssignedIdentities"):
            written["identity"]["userAssignedIdentities"] = {name: {} for name in of_users}
    return written | {"properties": properties}


def model_versions(model: str, listed: Iterable[Resource]) -> list[RegisteredModel]:
    """The versions of a model that Azure lists, the newest first."""
    found = [
        RegisteredModel(
            name=model,
            version=str(version["name"]),
            created_at=datetime.fromisoformat(version["systemData"]["createdAt"]),
            tags=version["properties"].get("tags") or {},
        )
        for version in listed
    ]
    return sorted(found, key=lambda version: version.created_at, reverse=True)


def vm_sizes(sizes: Iterable[Resource], usages: Iterable[Resource]) -> dict[str, VmSize]:
    """The VM sizes of a region, by their names in small letters; without those of whose quota nothing is shown.

    Azure lists low-priority machines and single workspaces under the same names: their quota does not count here.
    """
    quotas = {
        str((usage.get("name") or {}).get("value")).lower(): usage
        for usage in usages
        if "lowpriority" not in str(usage.get("type")).lower() and "/workspaces/" not in str(usage.get("id")).lower()
    }
    found = {}
    for size in sizes:
        name, family = str(size.get("name")), str(size.get("family"))
        quota = quotas.get(family.lower(), {})
        cores, used, limit = size.get("vCPUs"), quota.get("currentValue"), quota.get("limit")
        if isinstance(cores, int) and isinstance(used, int) and isinstance(limit, int):
            allowed = limit if limit >= 0 else None
            found[name.lower()] = VmSize(name=name, family=family, cores=cores, used=used, limit=allowed)
    return found


def _deployment(shown: Resource) -> DeploymentState:
    properties = shown["properties"]
    return DeploymentState(
        name=shown["name"],
        instance_count=int((shown.get("sku") or {}).get("capacity") or 1),
        provisioning_state=properties.get("provisioningState") or "",
        instance_type=(properties.get("instanceType") or "") if _is_managed(properties) else "",
        model=_short(properties.get("model")),
        code=_short((properties.get("codeConfiguration") or {}).get("codeId")),
        environment=_short(properties.get("environmentId")),
        code_id=(properties.get("codeConfiguration") or {}).get("codeId") or "",
        environment_id=properties.get("environmentId") or "",
        settings=_settings(properties),
        scales_itself=(properties.get("scaleSettings") or {}).get("scaleType") == "TargetUtilization",
        tags=shown.get("tags") or {},
    )


def _settings(properties: dict[str, Any]) -> str:
    """16 hex digits over what is set besides model, code, environment and size; empty where nothing is."""
    variables = properties.get("environmentVariables") or {}
    own = {"environmentVariables": {name: value for name, value in variables.items() if name not in ADDED}}
    found = {name: value for name in SETTINGS if (value := (properties | own).get(name))}
    if script := (properties.get("codeConfiguration") or {}).get("scoringScript"):
        found["scoringScript"] = script
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16] if found else ""


def autoscaled(settings: Iterable[Resource], endpoint_path: str) -> set[str]:
    """The deployments of an endpoint that an enabled autoscale setting of Azure Monitor scales, in small letters.

    `endpoint_path` is the end of the endpoint's resource id.
    """
    below = f"/{endpoint_path}/deployments/".lower()
    found = set()
    for setting in settings:
        properties = setting.get("properties") or {}
        before, _, name = str(properties.get("targetResourceUri")).lower().rpartition(below)
        if before and properties.get("enabled") is True:
            found.add(name)
    return found


def _is_managed(deployment: dict[str, Any]) -> bool:
    return str(deployment.get("endpointComputeType") or "Managed").lower() == "managed"


def _short(resource: object) -> str:
    """`/subscriptions/…/models/diabetes/versions/2` as `diabetes:2`."""
    if not isinstance(resource, str):
        return ""
    parts = resource.removeprefix("azureml:").split("/")
    return f"{parts[-3]}:{parts[-1]}" if len(parts) > 3 and parts[-2] == "versions" else parts[-1]


def _positive(traffic: dict[str, Any] | None) -> dict[str, int]:
    return {name: int(share) for name, share in (traffic or {}).items() if int(share)}
