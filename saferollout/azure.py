"""Azure Machine Learning, as the rollout needs it: observe, and change until Azure shows the change.

The only module that calls Azure ML. Every change is a reconciliation: nothing is sent when Azure already
shows what is wanted, and what is sent is read back until it does.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from azure.ai.ml import MLClient
from azure.ai.ml.exceptions import MlException
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from saferollout.azure_access import credential, translated
from saferollout.azure_yaml import load_deployment, load_endpoint
from saferollout.config import ModelVersion, WorkspaceConfig
from saferollout.domain import DeploymentState, EndpointState, describe, drift
from saferollout.errors import AzureFailed, DeploymentFailed, Drifted, Refused

T = TypeVar("T")

FINAL = frozenset({"Succeeded", "Failed", "Canceled"})
READBACK_TIMEOUT_S = 1800.0
STALE_S = 300.0
DATA_PLANE = "https://ml.azure.com/.default"

logging.getLogger("azure").setLevel(logging.ERROR)


class Workspace:
    """An Azure ML workspace. One instance serves one thread."""

    def __init__(self, config: WorkspaceConfig) -> None:
        self._credential = credential()
        with translated("open the workspace"):
            self._client = MLClient(
                self._credential, config.subscription_id, config.resource_group, config.name, enable_telemetry=False
            )

    def observe(self, endpoint: str) -> EndpointState | None:
        """The endpoint with its deployments, or None if there is no such endpoint."""
        with translated(f"read endpoint {endpoint}"):
            try:
                shown = self._client.online_endpoints.get(endpoint)
                deployments = list(self._client.online_deployments.list(endpoint))
            except ResourceNotFoundError:
                self._client.workspaces.get(self._client.workspace_name)  # a mistyped workspace is no missing endpoint
                return None
        return EndpointState(
            name=endpoint,
            scoring_uri=shown.scoring_uri or "",
            provisioning_state=shown.provisioning_state or "",
            auth_mode=shown.auth_mode or "",
            traffic=_positive(shown.traffic),
            mirror_traffic=_positive(getattr(shown, "mirror_traffic", None)),
            tags=dict(shown.tags or {}),
            deployments={deployment.name: _deployment(deployment) for deployment in deployments},
            resource_id=shown.id or "",
            location=shown.location or "",
        )

    def endpoints(self) -> list[str]:
        """The names of all endpoints in the workspace."""
        with translated("list the endpoints"):
            return sorted(endpoint.name for endpoint in self._client.online_endpoints.list())

    def existing(self, endpoint: str) -> EndpointState:
        """``observe``; Refused if there is no such endpoint."""
        if (state := self.observe(endpoint)) is None:
            msg = f"endpoint {endpoint} does not exist; create it with `saferollout bootstrap`"
            raise Refused(msg)
        return state

    def secret(self, endpoint: str) -> str:
        """What the endpoint's ``Authorization: Bearer`` header takes; never log it."""
        with translated(f"get a key of endpoint {endpoint}"):
            if self._client.online_endpoints.get(endpoint).auth_mode == "aad_token":
                return self._credential.get_token(DATA_PLANE).token
            keys = self._client.online_endpoints.get_keys(endpoint)
            return str(getattr(keys, "primary_key", None) or getattr(keys, "access_token", ""))

    def resolve(self, model: ModelVersion) -> ModelVersion:
        """The version that ``latest`` means now; any other as it is."""
        if model.version != "latest":
            return model
        with translated(f"look up the latest version of model {model.name}"):
            return ModelVersion(
                name=model.name, version=str(self._client.models.get(model.name, label="latest").version)
            )

    def create_endpoint(self, path: Path) -> None:
        """Create the endpoint of an Azure ML YAML, without traffic, unless it exists."""
        wanted = load_endpoint(path)
        wanted.traffic = {}  # its deployments do not exist yet
        if self.observe(wanted.name) is None:
            with translated(f"create endpoint {wanted.name}"):
                self._client.online_endpoints.begin_create_or_update(wanted).result()
        _poll(lambda: self.observe(wanted.name), f"endpoint {wanted.name}")
        state = self._read_back(wanted.name, lambda state: state.provisioning_state in FINAL, "a final state")
        if state.provisioning_state != "Succeeded":
            msg = f"endpoint {wanted.name} did not come up: it is {state.provisioning_state}"
            raise AzureFailed(msg)

    def update_endpoint(
        self,
        endpoint: str,
        *,
        traffic: dict[str, int] | None = None,
        expected_traffic: dict[str, int] | None = None,
        mirror: dict[str, int] | None = None,
        tags: Callable[[dict[str, str]], dict[str, str]] = dict,
    ) -> None:
        """Set traffic, mirrored traffic and tags in one change; everything else stays as it was read.

        Raises Drifted when the traffic is neither ``expected_traffic`` nor already ``traffic``, or when somebody else's
        change overwrote this one.
        """
        self._read_back(endpoint, lambda state: state.provisioning_state in FINAL, "a final state")
        with translated(f"update endpoint {endpoint}"):
            shown = self._client.online_endpoints.get(endpoint)
            current, old_tags = _positive(shown.traffic), dict(shown.tags or {})
            wanted = current if traffic is None else traffic
            old_mirror = _positive(getattr(shown, "mirror_traffic", None))
            new_mirror = old_mirror if mirror is None else mirror
            new_tags = tags(old_tags)
            if expected_traffic is not None and current not in (expected_traffic, wanted):
                raise Drifted(drift(endpoint, current, expected_traffic))
            if current != wanted or new_tags != old_tags or new_mirror != old_mirror:
                shown.traffic, shown.tags = dict(wanted), new_tags
                if new_mirror != old_mirror:
                    shown.mirror_traffic = dict(new_mirror)
                self._client.online_endpoints.begin_create_or_update(shown).result()
        changed = {name for name in old_tags.keys() | new_tags.keys() if old_tags.get(name) != new_tags.get(name)}

        def shows(state: EndpointState) -> bool:
            read: list[tuple[Any, Any, Any]] = [(state.traffic, current, wanted)]
            if new_mirror != old_mirror:
                read += [(state.mirror_traffic, old_mirror, new_mirror)]
            read += [(state.tags.get(name), old_tags.get(name), new_tags.get(name)) for name in changed]
            if any(value not in (old, new) for value, old, new in read):  # an old value is only a late read
                traffic = describe(state.traffic)
                msg = f"somebody else changed endpoint {endpoint} at the same time; its traffic is {traffic}"
                raise Drifted(msg)
            return all(value == new for value, _, new in read)

        # longer than a late read takes, the old values mean that somebody's update has overwritten this one
        self._read_back(endpoint, shows, f"traffic {describe(wanted)}", STALE_S, retryable=True)

    def create_deployment(
        self, path: Path, endpoint: str, name: str, *, model: ModelVersion | None, tags: dict[str, str],
        min_instance_count: int = 1,
    ) -> None:  # fmt: skip
        """Create a deployment from its Azure ML YAML under ``name``; it gets no traffic.

        One that exists with the same tags is waited for; any other is replaced if it has no traffic. Raises
        DeploymentFailed with Azure's code and the end of its log when it does not come up.
        """
        wanted = load_deployment(path, name=name, endpoint=endpoint, model=model)
        wanted.instance_count = max(int(wanted.instance_count or 1), min_instance_count)
        wanted.tags = dict(wanted.tags or {}) | tags
        there = self.existing(endpoint).deployments.get(name)
        if there and not there.has(tags):
            self.delete_deployment(endpoint, name)
            there = None
        failure = ""
        if there is None:
            try:
                with translated(f"create deployment {name}"):
                    self._client.online_deployments.begin_create_or_update(wanted).result()
            except AzureFailed as error:
                if error.retryable:
                    raise
                failure = str(error)
                shown = self.existing(endpoint).deployments.get(name)
                if shown is None or shown.provisioning_state not in ("Failed", "Canceled"):
                    raise
        state = self._read_back(endpoint, lambda state: _is_final(state, name), "a final state")
        if state.deployments[name].provisioning_state != "Succeeded":
            reason = failure or "its creation failed"
            msg = f"deployment {name} did not come up: {reason}{self._last_words(endpoint, name)}"
            raise DeploymentFailed(msg)

    def scale(self, endpoint: str, name: str, instance_count: int) -> None:
        """Give a deployment this many instances."""
        if name not in self.existing(endpoint).deployments:
            msg = f"deployment {name} of {endpoint} is gone"
            raise Refused(msg)
        self._read_back(endpoint, lambda state: _is_final(state, name), f"a final state of {name}")
        with translated(f"scale deployment {name}"):
            shown = self._client.online_deployments.get(name, endpoint)
            if shown.instance_count != instance_count or shown.provisioning_state != "Succeeded":
                shown.instance_count = instance_count
                self._client.online_deployments.begin_create_or_update(shown).result()
        state = self._read_back(
            endpoint,
            lambda state: _is_final(state, name) and state.deployments[name].instance_count == instance_count,
            f"{instance_count} instances of {name}",
        )
        if (shown_as := state.deployments[name].provisioning_state) != "Succeeded":
            msg = f"deployment {name} is {shown_as} after it was scaled{self._last_words(endpoint, name)}"
            raise DeploymentFailed(msg)

    def delete_deployment(self, endpoint: str, name: str) -> None:
        """Delete a deployment unless it is gone; Refused while it has traffic."""
        state = self._read_back(
            endpoint, lambda state: name not in state.deployments or _is_final(state, name), f"a final state of {name}"
        )
        if state.traffic.get(name) or state.mirror_traffic.get(name):
            msg = f"deployment {name} has traffic and is not deleted; move the traffic away first"
            raise Refused(msg)
        if name in state.deployments:
            with translated(f"delete deployment {name}"):
                self._client.online_deployments.begin_delete(name=name, endpoint_name=endpoint).result()
        self._read_back(endpoint, lambda state: name not in state.deployments, f"{name} gone")

    def delete_endpoint(self, endpoint: str) -> None:
        """Delete an endpoint with all its deployments unless it is gone."""
        if self.observe(endpoint) is not None:
            with translated(f"delete endpoint {endpoint}"):
                self._client.online_endpoints.begin_delete(endpoint).result()
        _poll(lambda: self.observe(endpoint) is None or None, f"{endpoint} gone")

    def _last_words(self, endpoint: str, name: str) -> str:
        try:
            log = self._client.online_deployments.get_logs(name=name, endpoint_name=endpoint, lines=50)
        except (HttpResponseError, MlException):
            return ""  # the log only explains; its absence must not hide the failure
        lines = [line.strip() for line in log.splitlines() if line.strip()]
        return f" | log: {lines[-1]}" if lines else ""

    def _read_back(
        self,
        endpoint: str,
        shows: Callable[[EndpointState], bool],
        wanted: str,
        timeout_s: float = READBACK_TIMEOUT_S,
        *,
        retryable: bool = False,
    ) -> EndpointState:
        def look() -> EndpointState | None:
            state = self.existing(endpoint)
            return state if shows(state) else None

        return _poll(look, wanted, timeout_s, retryable=retryable)


def _poll(
    look: Callable[[], T | None], wanted: str, timeout_s: float = READBACK_TIMEOUT_S, *, retryable: bool = False
) -> T:
    """Look until there is something to see; AzureFailed when there is not in time."""
    deadline, delay_s = time.monotonic() + timeout_s, 0.25
    while (seen := look()) is None:
        if time.monotonic() > deadline:
            msg = f"Azure accepted the change but does not show {wanted} after {timeout_s:.0f} s"
            raise AzureFailed(msg, retryable=retryable)
        time.sleep(delay_s)
        delay_s = min(delay_s * 1.5, 10)
    return seen


def _deployment(shown: Any) -> DeploymentState:
    code = shown.code_configuration
    return DeploymentState(
        name=shown.name,
        instance_count=int(shown.instance_count or 1),
        provisioning_state=shown.provisioning_state or "",
        model=_short(shown.model),
        code=_short(code.code) if code else "",
        environment=_short(shown.environment),
        tags=dict(shown.tags or {}),
    )


def _short(resource: object) -> str:
    """``/subscriptions/…/models/diabetes/versions/2`` as ``diabetes:2``."""
    if not isinstance(resource, str):
        return ""
    parts = resource.removeprefix("azureml:").split("/")
    return f"{parts[-3]}:{parts[-1]}" if len(parts) > 3 and parts[-2] == "versions" else parts[-1]


def _positive(traffic: dict[str, Any] | None) -> dict[str, int]:
    return {name: int(share) for name, share in (traffic or {}).items() if int(share)}


def _is_final(state: EndpointState, deployment: str) -> bool:
    shown = state.deployments.get(deployment)
    return shown is not None and shown.provisioning_state in FINAL
