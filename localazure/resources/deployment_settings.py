"""A deployment's settings: checked, and with Azure's defaults for what is not given."""

import re
from typing import Any

from localazure.arm.documents import Sku
from localazure.arm.durations import duration_s
from localazure.arm.errors import BadRequest, NotSupported
from localazure.compute.properties import (
    CodeConfiguration,
    Compute,
    ContainerResources,
    DataCollector,
    DefaultScale,
    DeploymentProperties,
    ProbeSettings,
    RequestSettings,
    ScaleBody,
    TargetUtilization,
)
from localazure.resources import rules
from localazure.resources.deployment_documents import (
    CodeBody,
    DeploymentPropertiesBody,
    ProbeBody,
    RequestSettingsBody,
)
from localazure.resources.quota import cores_of

_PROBE = ProbeBody(failureThreshold=30, initialDelay="PT10S", period="PT10S", successThreshold=1, timeout="PT2S")
_REQUESTS = RequestSettingsBody(maxConcurrentRequestsPerInstance=1, maxQueueWait="PT0S", requestTimeout="PT5S")
_AMOUNT = re.compile(r"\+?(\d+(\.\d*)?|\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?", re.ASCII)
"""Kubernetes' quantities, but for those below zero."""
_SCALE = ScaleBody(minInstances=1, maxInstances=1, pollingInterval="PT1S", targetUtilizationPercentage=70)


def complete(given: DeploymentPropertiesBody, compute: Compute) -> DeploymentProperties:
    """Return the properties of a deployment on an endpoint that has this compute.

    Raises:
        BadRequest: It breaks a rule.
        NotSupported: It is another type of deployment.
    """
    kinds: dict[str, Compute] = {"managed": "Managed", "kubernetes": "Kubernetes"}
    kind = kinds.get(str(given.endpoint_compute_type).lower())
    if kind is None:
        raise NotSupported(f"deployments of the type {given.endpoint_compute_type}")
    if kind != compute:
        raise BadRequest(f"A deployment of a {compute} endpoint must be {compute} too, not {kind}.")
    _check_code(given)
    egress = rules.choice(
        "egressPublicNetworkAccess", given.egress_public_network_access, ("Enabled", "Disabled"), "Enabled"
    )
    scale_and_resources = _kubernetes(given) if kind == "Kubernetes" else _managed(given)
    requests = _requests(given.request_settings, kind)
    liveness = _probe("livenessProbe", given.liveness_probe)
    readiness = _probe("readinessProbe", given.readiness_probe)
    insights = False if given.app_insights_enabled is None else given.app_insights_enabled
    if not isinstance(insights, bool):
        raise BadRequest(f"appInsightsEnabled must be true or false, not {insights!r}.")
    only_if_given = {
        "environment_id": given.environment_id,
        "instance_type": given.instance_type,
        "data_collector": _collector(given.data_collector) if given.data_collector else None,
        "startup_probe": _probe("startupProbe", given.startup_probe) if given.startup_probe else None,
    }
    return DeploymentProperties(
        model=given.model,
        description=given.description,
        environment_variables=given.environment_variables or {},
        app_insights_enabled=insights,
        model_mount_path=given.model_mount_path,
        egress_public_network_access=egress,
        endpoint_compute_type=kind,
        code_configuration=_code(given.code_configuration),
        properties=given.properties or {},
        request_settings=requests,
        liveness_probe=liveness,
        readiness_probe=readiness,
        **scale_and_resources,
        **{name: value for name, value in only_if_given.items() if value is not None},
    )


def capacity(sku: Sku, properties: DeploymentProperties) -> Any:
    """Return how many instances are asked for: so many, or the least that the scale settings allow.

    Raises:
        BadRequest: It is not an SKU of deployments.
    """
    rules.choice("sku.name", sku.name, ("Default",), "Default")
    if sku.capacity is not None:
        return sku.capacity
    scale = properties.scale_settings
    return scale.min_instances if "min_instances" in scale.model_fields_set else 1


def _check_code(given: DeploymentPropertiesBody) -> None:
    """Check that a container could have the code, the model's folder and the environment variables.

    Raises:
        BadRequest: It could not.
    """
    mount = given.model_mount_path
    if mount and not (str(mount).startswith("/") and ".." not in str(mount)):
        raise BadRequest(f"modelMountPath must be an absolute path in the container, not {mount!r}.")
    code = given.code_configuration or CodeBody()
    if bool(code.code_id) != bool(code.scoring_script):
        raise BadRequest("codeConfiguration must have both codeId and scoringScript, or be left out.")
    for name, value in (given.environment_variables or {}).items():
        if not re.fullmatch(r"[^=\s\0#][^=\s\0]*", name) or "\0" in str(value):
            raise BadRequest(f"environmentVariables: {name!r} must be a variable's name, and have a value of text.")


def _code(given: CodeBody | None) -> CodeConfiguration | None:
    if given is None or not given.model_fields_set:
        return None
    return CodeConfiguration(code_id=given.code_id or "", scoring_script=given.scoring_script or "")


def _requests(given: RequestSettingsBody | None, compute: Compute) -> RequestSettings:
    wanted = _REQUESTS.model_copy(update=given.present() if given else {})
    limit_ms = rules.MAX_KUBERNETES_TIMEOUT_MS if compute == "Kubernetes" else rules.MAX_REQUEST_TIMEOUT_MS
    rules.check_request_timeout(duration_s(wanted.request_timeout) * 1000, limit_ms)
    duration_s(wanted.max_queue_wait)
    concurrent = wanted.max_concurrent_requests_per_instance
    _check_count("requestSettings.maxConcurrentRequestsPerInstance", concurrent, 1)
    return RequestSettings(**wanted.present())


def _probe(name: str, given: ProbeBody | None) -> ProbeSettings:
    wanted = _PROBE.model_copy(update=given.present() if given else {})
    rules.check_probe(name, wanted)
    return ProbeSettings(**wanted.present())


def _managed(given: DeploymentPropertiesBody) -> dict[str, Any]:
    if not given.instance_type:
        raise BadRequest("instanceType is required for a managed online deployment.")
    cores_of(str(given.instance_type))
    resources = given.container_resource_requirements
    if resources and resources.model_fields_set:
        raise BadRequest("containerResourceRequirements are for Kubernetes: instanceType says what a managed one gets.")
    scale = given.scale_settings
    if scale is None or not scale.model_fields_set:
        scale = ScaleBody(scaleType="Default")
    if scale.scale_type != "Default":
        raise BadRequest("A managed online deployment supports the scale type Default only.")
    return {"scale_settings": _default_scale(scale)}


def _kubernetes(given: DeploymentPropertiesBody) -> dict[str, Any]:
    resources = given.container_resource_requirements or ContainerResources()
    for which, amounts in resources.model_dump(by_alias=True, exclude_none=True).items():
        for name, amount in amounts.items():
            if not _AMOUNT.fullmatch(str(amount)):
                raise BadRequest(f"{which}.{name} must be an amount as Kubernetes writes it, not '{amount}'.")
    wanted = ScaleBody().model_copy(update=given.scale_settings.present() if given.scale_settings else {})
    if not wanted.model_fields_set:
        wanted = ScaleBody(scaleType="Default")
    scale: DefaultScale | TargetUtilization
    if wanted.scale_type == "TargetUtilization":
        scale = _target_utilization(wanted)
    elif wanted.scale_type == "Default":
        scale = _default_scale(wanted)
    else:
        raise BadRequest("The scale type must be Default or TargetUtilization.")
    # The SDK cannot read a deployment without them.
    both = ContainerResources(containerResourceLimits=None, containerResourceRequests=None)
    return {
        "scale_settings": scale,
        "container_resource_requirements": both.model_copy(update=resources.present()),
    }


def _default_scale(given: ScaleBody) -> DefaultScale:
    return DefaultScale.model_validate(given.model_dump(by_alias=True, exclude_unset=True))


def _target_utilization(given: ScaleBody) -> TargetUtilization:
    wanted = _SCALE.model_copy(update=given.present())
    _check_count("scaleSettings.minInstances", wanted.min_instances, 0)
    _check_count("scaleSettings.maxInstances", wanted.max_instances, max(1, wanted.min_instances))
    _check_count("scaleSettings.targetUtilizationPercentage", wanted.target_utilization_percentage, 1, 100)
    duration_s(wanted.polling_interval)
    wanted.min_instances = max(1, wanted.min_instances)
    return TargetUtilization(**wanted.present())


def _collector(given: DataCollector) -> DataCollector:
    """Return it with the words as Azure writes them: clients send them in small letters, and know only capitals.

    Raises:
        BadRequest: There is no such word, or the rate is not a share.
    """
    if not given.model_fields_set:
        return given
    collections = {}
    for name, collection in (given.collections or {}).items():
        mode = str(collection.data_collection_mode).capitalize()
        if mode not in ("Enabled", "Disabled"):
            raise BadRequest(f"dataCollector.collections.{name}.dataCollectionMode must be Enabled or Disabled.")
        rate = collection.sampling_rate
        if rate is not None and not (isinstance(rate, int | float) and 0 < rate <= 1):
            raise BadRequest(f"dataCollector.collections.{name}.samplingRate must be more than 0 and at most 1.")
        collections[name] = collection.model_copy(update={"data_collection_mode": mode})
    rolling = str(given.rolling_rate or "Hour").capitalize()
    if rolling not in ("Year", "Month", "Day", "Hour", "Minute"):
        raise BadRequest("dataCollector.rollingRate must be Year, Month, Day, Hour or Minute.")
    headers = (given.request_logging.capture_headers if given.request_logging else None) or []
    if not isinstance(headers, list) or not all(re.fullmatch(r"[A-Za-z0-9-]+", str(name)) for name in headers):
        raise BadRequest("dataCollector.requestLogging.captureHeaders must be a list of names of headers.")
    return given.model_copy(update={"collections": collections, "rolling_rate": rolling})


def _check_count(name: str, count: Any, least: int, most: int | None = None) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < least or (most is not None and count > most):
        limits = f"at least {least}" + (f" and at most {most}" if most is not None else "")
        raise BadRequest(f"{name} must be an integer of {limits}, not {count!r}.")
