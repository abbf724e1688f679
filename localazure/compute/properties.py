"""What a deployment runs and how, as it is kept: checked, complete, and with the ids of versions."""

from typing import Annotated, Any, Literal

from pydantic import Field

from localazure.arm.documents import Body, Document
from localazure.storage.assets import Asset, Assets

State = Literal["Creating", "Updating", "Scaling", "Deleting", "Succeeded", "Failed"]
"""Of an endpoint or a deployment."""
Compute = Literal["Managed", "Kubernetes"]

Registered = dict[str, str | None]
"""When the assets were registered, by kind: that of another moment is another asset. None for one of Azure's own."""


class CodeConfiguration(Document):
    """The code asset of a deployment, and the scoring script in it."""

    code_id: str
    scoring_script: str


class RequestSettings(Document):
    """What requests are held to."""

    max_concurrent_requests_per_instance: int
    max_queue_wait: str
    request_timeout: str


class ProbeSettings(Document):
    """How an instance is asked whether it is well."""

    failure_threshold: int
    initial_delay: str
    period: str
    success_threshold: int
    timeout: str


class ScaleBody(Body):
    """How many instances there are, as a client says it."""

    scale_type: Any = None
    min_instances: Any = None
    max_instances: Any = None
    polling_interval: Any = None
    target_utilization_percentage: Any = None


class DefaultScale(ScaleBody):
    """As many as were asked for; the other settings mean nothing, and are kept as they came."""

    scale_type: Literal["Default"]


class TargetUtilization(Document):
    """As many as the load needs."""

    min_instances: int
    max_instances: int
    polling_interval: str
    target_utilization_percentage: int
    scale_type: Literal["TargetUtilization"]


class Amounts(Body):
    """As Kubernetes writes them."""

    cpu: Any = None
    gpu: Any = None
    memory: Any = None


class ContainerResources(Body):
    """What a container of a Kubernetes deployment gets."""

    container_resource_limits: Amounts | None = None
    container_resource_requests: Amounts | None = None


class Collection(Body):
    """Where collected data goes."""

    client_id: Any = None
    data_collection_mode: Any = None
    data_id: Any = None
    sampling_rate: Any = None


class RequestLogging(Body):
    """Which headers are collected."""

    capture_headers: Any = None


class DataCollector(Body):
    """What the data collector keeps of a deployment's requests, and of which share of them."""

    collections: dict[str, Collection] | None = None
    request_logging: RequestLogging | None = None
    rolling_rate: Any = None


class DeploymentProperties(Document):
    """The properties of a deployment; those that are Any are the client's own."""

    model: str | None = None
    description: Any = None
    environment_variables: dict[str, Any]
    app_insights_enabled: bool
    model_mount_path: Any = None
    environment_id: str | None = None
    instance_type: Any = None
    """A managed deployment has one, which has been checked."""
    egress_public_network_access: str
    endpoint_compute_type: Compute
    code_configuration: CodeConfiguration | None = None
    properties: dict[str, Any]
    request_settings: RequestSettings
    liveness_probe: ProbeSettings
    readiness_probe: ProbeSettings
    startup_probe: ProbeSettings | None = None
    scale_settings: Annotated[DefaultScale | TargetUtilization, Field(discriminator="scale_type")]
    container_resource_requirements: ContainerResources | None = None
    data_collector: DataCollector | None = None
    private_network_connection: bool | None = None
    """Shown to clients of old versions only."""
    provisioning_state: State = "Creating"

    @property
    def scoring_script(self) -> str:
        """The path of the scoring script in the code's folder; empty without code."""
        return self.code_configuration.scoring_script if self.code_configuration else ""

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables of the container."""
        return {name: str(value) for name, value in self.environment_variables.items()}


def resolve(properties: DeploymentProperties, assets: Assets) -> tuple[DeploymentProperties, Registered]:
    """Return the properties with the id of a version for each asset, where a label may have stood.

    The other value says when these versions were registered: one that was deleted may come back with other files.

    Raises:
        ArmError: As `Assets.model` does.
    """
    changed: dict[str, Any] = {}
    registered: Registered = {}

    def note(kind: str, asset: Asset[Any]) -> str:
        registered[kind] = asset.created_at
        return asset.id

    if properties.model:
        changed["model"] = note("models", assets.model(properties.model))
    if properties.environment_id:
        changed["environment_id"] = note("environments", assets.environment(properties.environment_id))
    if code := properties.code_configuration:
        identifier = note("codes", assets.code(code.code_id))
        changed["code_configuration"] = code.model_copy(update={"code_id": identifier})
    return properties.model_copy(update=changed), registered
