"""Azure's resources, as JSON, read into the states that a rollout works with."""

from collections.abc import Iterable
from typing import Any

from saferollout.azure.port import Resource
from saferollout.domain.endpoint import DeploymentState, EndpointState


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


def _deployment(shown: Resource) -> DeploymentState:
    properties = shown["properties"]
    return DeploymentState(
        name=shown["name"],
        instance_count=int((shown.get("sku") or {}).get("capacity") or 1),
        provisioning_state=properties.get("provisioningState") or "",
        model=_short(properties.get("model")),
        code=_short((properties.get("codeConfiguration") or {}).get("codeId")),
        environment=_short(properties.get("environmentId")),
        tags=shown.get("tags") or {},
    )


def _short(resource: object) -> str:
    """`/subscriptions/…/models/diabetes/versions/2` as `diabetes:2`."""
    if not isinstance(resource, str):
        return ""
    parts = resource.removeprefix("azureml:").split("/")
    return f"{parts[-3]}:{parts[-1]}" if len(parts) > 3 and parts[-2] == "versions" else parts[-1]


def _positive(traffic: dict[str, Any] | None) -> dict[str, int]:
    return {name: int(share) for name, share in (traffic or {}).items() if int(share)}
