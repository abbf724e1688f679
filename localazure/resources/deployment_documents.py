"""Deployments as clients ask for them, as they are answered, and as they are kept."""

from typing import Any, Literal

from localazure.arm.documents import Body, Document, Identity, Sku, SystemData, TrackedBody, TrackedResource
from localazure.compute.properties import (
    ContainerResources,
    DataCollector,
    DeploymentProperties,
    Registered,
    ScaleBody,
    State,
)
from localazure.core.store import Store
from localazure.core.tables import Table
from localazure.resources.quota import Size


class CodeBody(Body):
    """Which code shall run."""

    code_id: str | None = None
    scoring_script: str | None = None


class RequestSettingsBody(Body):
    """What requests shall be held to."""

    max_concurrent_requests_per_instance: Any = None
    max_queue_wait: Any = None
    request_timeout: Any = None


class ProbeBody(Body):
    """How an instance shall be asked whether it is well."""

    failure_threshold: Any = None
    initial_delay: Any = None
    period: Any = None
    success_threshold: Any = None
    timeout: Any = None


class DeploymentPropertiesBody(Body):
    """What a client asks of a deployment."""

    description: Any = None
    properties: dict[str, Any] | None = None
    provisioning_state: Any = None
    endpoint_compute_type: Any = None
    model: str | None = None
    model_mount_path: Any = None
    code_configuration: CodeBody | None = None
    environment_id: str | None = None
    environment_variables: dict[str, Any] | None = None
    instance_type: Any = None
    app_insights_enabled: Any = None
    egress_public_network_access: Any = None
    private_network_connection: Any = None
    request_settings: RequestSettingsBody | None = None
    liveness_probe: ProbeBody | None = None
    readiness_probe: ProbeBody | None = None
    startup_probe: ProbeBody | None = None
    scale_settings: ScaleBody | None = None
    container_resource_requirements: ContainerResources | None = None
    data_collector: DataCollector | None = None


class DeploymentBody(TrackedBody):
    """The body of PUT."""

    sku: Sku | None = None
    properties: DeploymentPropertiesBody | None = None


class DeploymentPatch(Body):
    """The body of PATCH: tags and identity are replaced where they are given, be it by nothing."""

    tags: dict[str, Any] | None = None
    sku: Sku | None = None
    identity: Identity | None = None


class LogsBody(Body):
    """Which log a client wants, and how many lines of its end."""

    container_type: Any = None
    tail: Any = None


class Deployment(TrackedResource):
    """A deployment, as Azure's management API shows it."""

    identity: Identity | None
    properties: DeploymentProperties
    sku: Sku
    system_data: SystemData

    @property
    def size(self) -> Size:
        """What it takes from the quota."""
        return Size(self.properties.endpoint_compute_type, self.properties.instance_type, self.sku.capacity)


class Serving(Document):
    """What last became ready: it goes on when an update fails."""

    properties: DeploymentProperties
    registered: Registered | None = None
    capacity: int


class DeploymentState(Document):
    """What is kept of a deployment."""

    resource: Deployment
    registered: Registered | None = None
    """None in states of an older version."""
    operation: str | None = None
    """The id of the one that it shows: its last, unless the client sent back an earlier one."""
    serving: Serving | None = None
    was: State | None = None
    """The state before it failed to come back; None otherwise."""

    def stage_after(self, old: "DeploymentState | None") -> Literal["Creating", "Updating", "Scaling"]:
        """Return what the change from `old` to this one is."""
        if old is None:
            return "Creating"
        before, after = old.resource.properties.as_json(), self.resource.properties.as_json()
        same = before | {"provisioningState": None} == after | {"provisioningState": None}
        scaled = same and old.registered == self.registered and old.resource.sku != self.resource.sku
        return "Scaling" if scaled else "Updating"


class DeploymentSku(Document):
    """How many instances there can be."""

    resource_type: str
    sku: Sku
    capacity: dict[str, Any]
    system_data: SystemData | None = None


def deployments_table(store: Store) -> Table[DeploymentState]:
    """Return all deployments by `key_of` their names."""
    return Table(store, "deployment", DeploymentState)


def key_of(endpoint: str, name: str) -> str:
    """Return the key of a deployment: names compare without regard to case."""
    return f"{endpoint}/{name}".lower()
