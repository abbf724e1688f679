"""YAML export: the Azure ML YAML of what is deployed, without what the service adds, which would deploy the same again.

Names and values are those of the SDK's schemas (`azure.ai.ml._schema`); what the service adds is known from recordings
of it and from Azure ML's REST specification.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import isodate  # type: ignore[import-untyped] # it ships no types

from saferollout.azure.port import Resource

SCHEMAS = "https://azuremlschemas.azureedge.net/latest"
OWN_TAGS = "saferollout."
OF_SERVICE = "azureml."
SERVICE_PROPERTIES = frozenset({"AzureAsyncOperationUri"})
APP_FOLDER = "/var/azureml-app/"
"""Where the service puts models and code; it shows deployments environment variables with paths there."""
_VERSION = re.compile(
    r"(?P<workspace>/subscriptions/.*)/(?:models|environments|codes|data)/(?P<name>[^/]+)/versions/(?P<version>[^/]+)",
    re.IGNORECASE,
)
_KNOWN = frozenset(
    {
        "description",
        "properties",
        "provisioningState",
        "endpointComputeType",
        "model",
        "codeConfiguration",
        "environmentId",
        "environmentVariables",
        "instanceType",
        "appInsightsEnabled",
        "modelMountPath",
        "egressPublicNetworkAccess",
        "privateNetworkConnection",
        "requestSettings",
        "livenessProbe",
        "readinessProbe",
        "scaleSettings",
        "containerResourceRequirements",
        "dataCollector",
    }
)

_PROBE = frozenset({"failureThreshold", "initialDelay", "period", "successThreshold", "timeout"})
_KNOWN_WITHIN = {
    "codeConfiguration": frozenset({"codeId", "scoringScript"}),
    "requestSettings": frozenset({"maxConcurrentRequestsPerInstance", "maxQueueWait", "requestTimeout"}),
    "livenessProbe": _PROBE,
    "readinessProbe": _PROBE,
    "scaleSettings": frozenset(
        {"scaleType", "minInstances", "maxInstances", "pollingInterval", "targetUtilizationPercentage"}
    ),
    "containerResourceRequirements": frozenset({"containerResourceRequests", "containerResourceLimits"}),
    "dataCollector": frozenset({"collections", "rollingRate", "requestLogging"}),
}
_KNOWN_OF_COLLECTION = frozenset({"clientId", "dataCollectionMode", "dataId", "samplingRate"})


class Written(NamedTuple):
    """A deployment's YAML, and what of the deployment it cannot say."""

    yaml: dict[str, Any]
    left_out: tuple[str, ...]
    """Without these another deployment of the same YAML is not the same."""


def endpoint_yaml(endpoint: Resource) -> dict[str, Any]:
    """The YAML of an endpoint, without its traffic, which depends on the deployments that it has."""
    properties = endpoint["properties"]
    compute, mode = properties.get("compute"), str(properties.get("authMode"))
    kind = "kubernetesOnlineEndpoint" if compute else "managedOnlineEndpoint"
    identity = endpoint.get("identity") or {}
    of_users = list(identity.get("userAssignedIdentities") or {})
    access = str(properties.get("publicNetworkAccess") or "")
    written = {
        "$schema": f"{SCHEMAS}/{kind}.schema.json",
        "name": endpoint["name"],
        "description": properties.get("description"),
        "auth_mode": {"amltoken": "aml_token", "aadtoken": "aad_token"}.get(mode.lower(), "key"),
        "compute": f"azureml:{str(compute).rpartition('/')[2]}" if compute else None,
        "public_network_access": "disabled" if access.lower() == "disabled" else None,
        "identity": {
            "type": "user_assigned",
            "user_assigned_identities": [{"resource_id": each} for each in of_users],
        }
        if of_users
        else None,
        "tags": _own(endpoint.get("tags")),
        "properties": _own(properties.get("properties")),
    }
    return _present(written)


def deployment_yaml(deployment: Resource, endpoint: str) -> Written:
    """The YAML of a deployment of an endpoint."""
    return _Writer(deployment, endpoint).write()


class _Writer:
    """Writes one deployment, and notes what cannot be written."""

    def __init__(self, deployment: Resource, endpoint: str) -> None:
        self._shown = deployment
        self._properties: dict[str, Any] = deployment["properties"]
        self._endpoint = endpoint
        self._workspace = str(deployment.get("id") or "").lower().partition("/onlineendpoints/")[0]
        self._left_out: list[str] = []

    def write(self) -> Written:
        properties = self._properties
        is_managed = str(properties.get("endpointComputeType") or "Managed").lower() == "managed"
        kind = "managedOnlineDeployment" if is_managed else "kubernetesOnlineDeployment"
        capacity = int((self._shown.get("sku") or {}).get("capacity") or 1)
        scale = self._scale()
        self._note_unknown()
        written = {
            "$schema": f"{SCHEMAS}/{kind}.schema.json",
            "name": self._shown["name"],
            "endpoint_name": self._endpoint,
            "type": None if is_managed else "kubernetes",
            "description": properties.get("description"),
            "model": self._asset(properties.get("model")),
            "model_mount_path": properties.get("modelMountPath"),
            "code_configuration": self._code(),
            "environment": self._asset(properties.get("environmentId")),
            "environment_variables": self._variables(),
            "instance_type": properties.get("instanceType"),
            "instance_count": None if scale else capacity,
            "scale_settings": scale,
            "resources": self._resources(),
            "request_settings": self._requests(),
            "liveness_probe": self._probe("livenessProbe", "liveness_probe"),
            "readiness_probe": self._probe("readinessProbe", "readiness_probe"),
            "app_insights_enabled": properties.get("appInsightsEnabled") or None,
            "egress_public_network_access": "disabled" if self._is("egressPublicNetworkAccess", "disabled") else None,
            "private_network_connection": properties.get("privateNetworkConnection") or None,
            "data_collector": self._collector(),
            "tags": _own(self._shown.get("tags")),
            "properties": _own(properties.get("properties")),
        }
        return Written(_present(written), tuple(self._left_out))

    def _is(self, key: str, value: str) -> bool:
        return str(self._properties.get(key) or "").lower() == value

    def _note_unknown(self) -> None:
        """Whatever the YAML has no key for, or this module does not know yet."""
        self._note_others("", self._properties, _KNOWN)
        for section, known in _KNOWN_WITHIN.items():
            self._note_others(f"{section}.", self._properties.get(section) or {}, known)
        for name, collection in ((self._properties.get("dataCollector") or {}).get("collections") or {}).items():
            self._note_others(f"dataCollector.collections.{name}.", collection, _KNOWN_OF_COLLECTION)
        identity = str((self._shown.get("identity") or {}).get("type") or "None")
        self._left_out += ["identity"] if identity.lower() != "none" else []

    def _note_others(self, place: str, shown: Mapping[str, Any], known: frozenset[str]) -> None:
        self._left_out += sorted(f"{place}{key}" for key, value in shown.items() if value and key not in known)

    def _asset(self, shown: Any, *, by_id: bool = False) -> str | None:
        """An asset as the YAML names it: by name and version where it is this workspace's, else by its id."""
        if not shown:
            return None
        name = str(shown).removeprefix("azureml:") if str(shown).startswith("azureml:/sub") else str(shown)
        if name.startswith("azureml:"):
            return name
        match = _VERSION.fullmatch(name)
        if match and match["workspace"].lower() == self._workspace and not by_id:
            return f"azureml:{match['name']}:{match['version']}"
        return f"azureml:{name}"

    def _code(self) -> dict[str, Any] | None:
        """Code that the SDK has uploaded has no name of its own: it is named by its id."""
        code = self._properties.get("codeConfiguration")
        if not code:
            return None
        written = {
            "code": self._asset(code.get("codeId"), by_id=True),
            "scoring_script": code.get("scoringScript"),
        }
        return _present(written)

    def _variables(self) -> dict[str, str]:
        """The environment variables without the three that the service adds, which are wrong for another model."""
        model = re.search(r"/models/([^/]+)/versions/([^/]+)$", str(self._properties.get("model")))
        script = (self._properties.get("codeConfiguration") or {}).get("scoringScript")
        added = {
            "AZUREML_MODEL_DIR": re.escape(f"{APP_FOLDER}azureml-models/{'/'.join(model.groups())}") if model else None,
            "AZUREML_ENTRY_SCRIPT": re.escape(script) if script else None,
            "AML_APP_ROOT": rf"{APP_FOLDER}[^/]+",
        }
        written = {}
        for name, value in (self._properties.get("environmentVariables") or {}).items():
            pattern, text = added.get(name), str(value)
            if pattern and re.fullmatch(pattern, text):
                continue
            if name in added and text.startswith(APP_FOLDER):
                self._left_out.append(f"environment_variables.{name}")
            else:
                written[name] = text
        return written

    def _scale(self) -> dict[str, Any] | None:
        scale = self._properties.get("scaleSettings") or {}
        if str(scale.get("scaleType") or "Default").lower() == "default":
            return None
        written = {
            "type": "target_utilization",
            "min_instances": scale.get("minInstances"),
            "max_instances": scale.get("maxInstances"),
            "polling_interval": self._seconds("scale_settings.polling_interval", scale.get("pollingInterval")),
            "target_utilization_percentage": scale.get("targetUtilizationPercentage"),
        }
        return _present(written)

    def _resources(self) -> dict[str, Any]:
        shown = self._properties.get("containerResourceRequirements") or {}
        keys = {"requests": "containerResourceRequests", "limits": "containerResourceLimits"}
        written = {
            name: _present({unit: (shown.get(key) or {}).get(unit) for unit in ("cpu", "memory", "gpu")})
            for name, key in keys.items()
        }
        return _present(written)

    def _requests(self) -> dict[str, Any]:
        shown = self._properties.get("requestSettings") or {}
        written = {
            "request_timeout_ms": _ms(shown.get("requestTimeout")),
            "max_concurrent_requests_per_instance": shown.get("maxConcurrentRequestsPerInstance"),
            # of 0, which is what the service shows where nothing was set, the SDK sends nothing
            "max_queue_wait_ms": _ms(shown.get("maxQueueWait")) or None,
        }
        return _present(written)

    def _probe(self, key: str, name: str) -> dict[str, Any]:
        shown = self._properties.get(key) or {}
        durations = {"initial_delay": "initialDelay", "period": "period", "timeout": "timeout"}
        return _present(
            {ours: self._seconds(f"{name}.{ours}", shown.get(theirs)) for ours, theirs in durations.items()}
            | {"success_threshold": shown.get("successThreshold"), "failure_threshold": shown.get("failureThreshold")}
        )

    def _seconds(self, name: str, shown: Any) -> int | None:
        """A duration as the YAML has it: whole seconds, at least one."""
        if shown is None:
            return None
        milliseconds = _ms(shown) or 0
        if not milliseconds or milliseconds % 1000:
            self._left_out.append(f"{name} of {milliseconds / 1000:g} s")
            return None
        return milliseconds // 1000

    def _collector(self) -> dict[str, Any]:
        shown = self._properties.get("dataCollector") or {}
        collections = shown.get("collections") or {}
        rates = {each.get("samplingRate") for each in collections.values()}
        if len(rates) > 1:  # the YAML has one for all of them
            self._left_out.append("data_collector: several sampling rates")
        rolling = str(shown.get("rollingRate") or "").lower()
        if rolling not in ("", "minute", "hour", "day"):
            self._left_out.append(f"data_collector.rolling_rate {rolling}")
            rolling = ""
        headers = (shown.get("requestLogging") or {}).get("captureHeaders")
        written = {
            "collections": {name: self._collection(name, each) for name, each in collections.items()},
            "sampling_rate": rates.pop() if len(rates) == 1 else None,
            "rolling_rate": rolling,
            "request_logging": {"capture_headers": list(headers)} if headers else None,
        }
        return _present(written)

    def _collection(self, name: str, shown: Mapping[str, Any]) -> dict[str, Any]:
        is_enabled = str(shown.get("dataCollectionMode") or "").lower() == "enabled"
        data = None
        if data_id := str(shown.get("dataId") or ""):
            match = _VERSION.fullmatch(data_id.removeprefix("azureml:"))
            if match and match["workspace"].lower() == self._workspace:
                data = {"name": match["name"], "version": match["version"]}
            else:
                self._left_out.append(f"data_collector.collections.{name}.data {data_id}")
            # what the SDK registers by itself for each deployment: the next one gets its own
            if data == {"name": f"{self._endpoint}-{self._shown['name']}-{name}", "version": "1"}:
                data = None
        return _present(
            {"enabled": "true" if is_enabled else "false", "data": data, "client_id": shown.get("clientId")}
        )


def _own(names: Mapping[str, Any] | None) -> dict[str, str]:
    """Tags or properties without the rollout's and the service's."""
    return {
        name: str(value)
        for name, value in (names or {}).items()
        if value is not None and name not in SERVICE_PROPERTIES and not name.startswith((OWN_TAGS, OF_SERVICE))
    }


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is there: nothing that is empty."""
    return {key: value for key, value in values.items() if value not in (None, "", {}, [])}


def _ms(shown: Any) -> int | None:
    """A duration of ISO 8601 in milliseconds."""
    return None if shown is None else round(isodate.parse_duration(str(shown)).total_seconds() * 1000)
