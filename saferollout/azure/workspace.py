"""Azure Machine Learning, as the rollout needs it: observe, and change until Azure shows the change.

The only module that calls Azure ML: as plain JSON where it reads and changes what exists, by the SDK for the rest.
Every change is a reconciliation: nothing is sent when Azure already shows what is wanted, and what is sent is read
back until it does. So each is simply made again when Azure refused the token, or was busy with another change.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from azure.ai.ml import MLClient
from azure.ai.ml.exceptions import MlException
from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.core.polling import LROPoller

from saferollout.azure.access import credential, translated
from saferollout.azure.arm import Arm, Resource
from saferollout.azure.retries import poll, signs_in_anew, waits_for_others
from saferollout.azure.yaml_files import load_deployment, load_endpoint
from saferollout.config.assets import label_of, with_version
from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.endpoint import DeploymentState, EndpointState, describe, drift
from saferollout.domain.errors import AzureFailed, Busy, DeploymentFailed, Drifted, Missing, Refused

T = TypeVar("T")

FINAL = frozenset({"Succeeded", "Failed", "Canceled"})
STALE_S = 300.0
DATA_PLANE = "https://ml.azure.com/.default"
LOOK_THERE = (
    "look at the endpoint in Azure: nothing else can be changed before that has ended; if operations may take longer, "
    "raise workspace.operation_timeout_s"
)
Tags = dict[str, str]

logging.getLogger("azure").setLevel(logging.ERROR)


class Workspace:
    """An Azure ML workspace. One instance serves one thread."""

    def __init__(self, config: WorkspaceConfig) -> None:
        self._config = config
        self._connect()

    @property
    def operation_timeout_s(self) -> float:
        """How long one operation may take, and the wait for another one."""
        return self._config.operation_timeout_s

    def _connect(self) -> None:
        """Sign in, with nothing kept of earlier tokens."""
        config = self._config
        with translated("open the workspace"):
            self._credential = credential()
            self._arm = Arm(self._credential, config)
            self._client = MLClient(
                self._credential, config.subscription_id, config.resource_group, config.name, enable_telemetry=False
            )

    @contextmanager
    def _translated(self, action: str) -> Iterator[None]:
        """`translated`; after a 401 the next call has another token: the credential would give the same one again."""
        try:
            with translated(action):
                yield
        except AzureFailed as error:
            if error.status == 401:
                self._connect()
            raise

    def _follow(self, poller: LROPoller[Any], operation: str) -> None:
        """Wait for the end of an operation; AzureFailed if there is none in time."""
        poller.wait(self.operation_timeout_s)  # its thread goes on looking, and ends with the process
        if not poller.done():
            raise _endless(operation, self.operation_timeout_s)
        poller.result()

    @signs_in_anew
    def observe(self, endpoint: str) -> EndpointState | None:
        """The endpoint with its deployments, or None if there is no such endpoint."""
        path = _path(endpoint)
        read = self._unless_missing(endpoint, lambda: (self._arm.get(path), self._arm.list(f"{path}/deployments")))
        return _endpoint(*read) if read else None

    @signs_in_anew
    def endpoints(self) -> list[str]:
        """The names of all endpoints in the workspace."""
        with self._translated("list the endpoints"):
            return sorted(endpoint.name for endpoint in self._client.online_endpoints.list())

    def existing(self, endpoint: str) -> EndpointState:
        """``observe``; Missing if there is no such endpoint."""
        return _existing(endpoint, self.observe(endpoint))

    @signs_in_anew
    def secret(self, endpoint: str, *, is_refused: bool = False) -> str:
        """What the endpoint's ``Authorization: Bearer`` header takes; never log it.

        ``is_refused`` says that the endpoint does not take the one it gave before: a token is not given a second time.
        """
        if is_refused:
            self._connect()
        with self._translated(f"get a key of endpoint {endpoint}"):
            if self._client.online_endpoints.get(endpoint).auth_mode == "aad_token":
                return self._credential.get_token(DATA_PLANE).token
            keys = self._client.online_endpoints.get_keys(endpoint)
            return str(getattr(keys, "primary_key", None) or getattr(keys, "access_token", ""))

    @signs_in_anew
    def resolve(self, assets: Mapping[str, str]) -> dict[str, str]:
        """The registered ``model`` and ``environment`` with the version that each label is on now."""
        return {kind: self._resolve(kind, asset) for kind, asset in assets.items()}

    def _resolve(self, kind: str, asset: str) -> str:
        if (label := label_of(asset)) is None:
            return asset
        where = f" in registry {label.registry}" if label.registry else ""
        with self._translated(f"look up the {label.label} version of {kind} {label.name}{where}"):
            client = self._client
            if label.registry:
                client = MLClient(self._credential, registry_name=label.registry, enable_telemetry=False)
            operations = client.models if kind == "model" else client.environments
            return with_version(asset, str(operations.get(label.name, label=label.label).version))

    @waits_for_others
    @signs_in_anew
    def create_endpoint(self, path: Path) -> None:
        """Create the endpoint of an Azure ML YAML, without traffic, unless it exists."""
        wanted = load_endpoint(path)
        wanted.traffic = {}  # its deployments do not exist yet
        if self.observe(wanted.name) is None:
            with self._translated(f"create endpoint {wanted.name}"):
                self._follow(
                    self._client.online_endpoints.begin_create_or_update(wanted), f"creation of endpoint {wanted.name}"
                )
        _until(lambda: self.observe(wanted.name), f"endpoint {wanted.name}", self.operation_timeout_s)
        state = self._read_back(
            wanted.name, lambda state: state.provisioning_state in FINAL, f"a final state of endpoint {wanted.name}"
        )
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
        tags: Callable[[Tags], Tags] = dict,
    ) -> None:
        """Set traffic, mirrored traffic and tags in one change; everything else stays as it was read.

        Raises Drifted when the traffic is neither ``expected_traffic`` nor already ``traffic``, or when somebody else's
        change overwrote this one.
        """
        self._update_endpoint(endpoint, traffic, expected_traffic, mirror, _unless_shown(tags))

    @waits_for_others
    @signs_in_anew
    def _update_endpoint(
        self,
        endpoint: str,
        traffic: dict[str, int] | None,
        expected_traffic: dict[str, int] | None,
        mirror: dict[str, int] | None,
        tags: Callable[[Tags], Tags],
    ) -> None:
        path = _path(endpoint)

        def read() -> Resource:
            return _existing(endpoint, self._unless_missing(endpoint, lambda: self._arm.get(path)))

        def settled() -> Resource | None:
            shown = read()
            return shown if _endpoint(shown).provisioning_state in FINAL else None

        shown = _until(settled, f"a final state of endpoint {endpoint}", self.operation_timeout_s)
        old = _endpoint(shown)
        wanted = old.traffic if traffic is None else traffic
        new_mirror = old.mirror_traffic if mirror is None else mirror
        new_tags = tags(dict(old.tags))
        if expected_traffic is not None and old.traffic not in (expected_traffic, wanted):
            raise Drifted(drift(endpoint, old.traffic, expected_traffic))
        changes: dict[str, Any] = {}
        if wanted != old.traffic:
            changes["traffic"] = wanted
        if new_mirror != old.mirror_traffic:
            changes["mirrorTraffic"] = new_mirror
        if changes or new_tags != old.tags:
            with self._translated(f"update endpoint {endpoint}"):
                changed_resource = shown | {"tags": new_tags, "properties": shown["properties"] | changes}
                self._follow(self._arm.put(path, changed_resource), f"update of endpoint {endpoint}")
        changed = {name for name in old.tags.keys() | new_tags.keys() if old.tags.get(name) != new_tags.get(name)}

        def shows() -> bool:
            state = _endpoint(read())
            seen: list[tuple[Any, Any, Any]] = [(state.traffic, old.traffic, wanted)]
            if new_mirror != old.mirror_traffic:
                seen += [(state.mirror_traffic, old.mirror_traffic, new_mirror)]
            seen += [(state.tags.get(name), old.tags.get(name), new_tags.get(name)) for name in changed]
            if any(value not in (before, after) for value, before, after in seen):  # an old value is only a late read
                msg = f"somebody else changed endpoint {endpoint} at the same time; its traffic is "
                raise Drifted(msg + describe(state.traffic))
            return all(value == after for value, _, after in seen)

        # longer than a late read takes, the old values mean that somebody's update has overwritten this one
        _until(shows, f"traffic {describe(wanted)}", STALE_S, retryable=True)

    @waits_for_others
    @signs_in_anew
    def create_deployment(
        self, path: Path, endpoint: str, name: str, *, assets: Mapping[str, str], tags: dict[str, str],
        min_instance_count: int = 1, check: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """Create a deployment from its Azure ML YAML under ``name``; it gets no traffic.

        The registered ``assets`` take the place of what the YAML says. A deployment that exists with the same tags is
        waited for; any other is replaced if it has no traffic. ``check`` is called before and after what is local is
        read, and raises when that is not what it should be. Raises DeploymentFailed with Azure's code and the end of
        its log when it does not come up.
        """
        there = self.existing(endpoint).deployments.get(name)
        if there is None or not there.has(tags):
            check()
        wanted = load_deployment(path, name=name, endpoint=endpoint, assets=assets)
        wanted.instance_count = max(int(wanted.instance_count or 1), min_instance_count)
        wanted.tags = dict(wanted.tags or {}) | tags
        if there and not there.has(tags):
            self.delete_deployment(endpoint, name)
            there = None
        problem = ""
        if there is None:
            problem = "did not come up: its creation failed"
            try:
                with self._translated(f"create deployment {name}"):
                    creation = self._client.online_deployments.begin_create_or_update(wanted)  # uploads first
                check()
                with self._translated(f"create deployment {name}"):
                    self._follow(creation, f"creation of deployment {name}")
            except AzureFailed as error:
                if error.retryable or error.status == 401 or isinstance(error, Busy):
                    raise
                problem = f"did not come up: {error}"
                shown = self.existing(endpoint).deployments.get(name)
                if shown is None or not shown.broken:
                    raise
        state = self._read_back(endpoint, lambda state: _is_final(state, name), f"a final state of {name}")
        if (shown_as := state.deployments[name].provisioning_state) != "Succeeded":
            msg = f"deployment {name} {problem or f'is {shown_as}'}{self._last_words(endpoint, name)}"
            raise DeploymentFailed(msg)

    def scale_up(self, endpoint: str, name: str, instance_count: int) -> None:
        """Give a deployment at least this many instances; more than that, as from an autoscaler, stay."""
        self._scale(endpoint, name, lambda shown: max(shown, instance_count))

    def scale_back(self, endpoint: str, name: str, instance_count: int, *, instead_of: int) -> None:
        """Give a deployment this many instances if it still has ``instead_of``; any other number is somebody else's."""
        self._scale(endpoint, name, lambda shown: instance_count if shown == instead_of else shown)

    @waits_for_others
    @signs_in_anew
    def _scale(self, endpoint: str, name: str, wanted_of: Callable[[int], int]) -> None:
        """Change the number of instances by ``wanted_of``; a change that failed before is made again."""
        state = self.settled(endpoint, name)
        if (there := state.deployments.get(name)) is None:
            msg = f"deployment {name} of {endpoint} is gone"
            raise Refused(msg)
        before, wanted = there.instance_count, wanted_of(there.instance_count)
        if before != wanted or there.provisioning_state != "Succeeded":
            with self._translated(f"scale deployment {name}"):
                sku = {"sku": {"name": "Default", "capacity": wanted}}
                self._follow(
                    self._arm.patch(f"{_path(endpoint)}/deployments/{name}", sku), f"scaling of deployment {name}"
                )

        def shows(state: EndpointState) -> bool:
            # the old number is only a late read; a third one is an autoscaler's, which goes on by itself
            return _is_final(state, name) and (before == wanted or state.deployments[name].instance_count != before)

        state = self._read_back(endpoint, shows, f"{wanted} instances of {name}")
        if (shown_as := state.deployments[name].provisioning_state) != "Succeeded":
            msg = f"deployment {name} is {shown_as} after it was scaled{self._last_words(endpoint, name)}"
            raise DeploymentFailed(msg)

    @waits_for_others
    @signs_in_anew
    def delete_deployment(self, endpoint: str, name: str) -> None:
        """Delete a deployment unless it is gone; Refused while it has traffic."""
        state = self.settled(endpoint, name)
        if state.traffic.get(name) or state.mirror_traffic.get(name):
            msg = f"deployment {name} has traffic and is not deleted; move the traffic away first"
            raise Refused(msg)
        if name in state.deployments:
            with self._translated(f"delete deployment {name}"):
                self._follow(
                    self._client.online_deployments.begin_delete(name=name, endpoint_name=endpoint),
                    f"deletion of deployment {name}",
                )
        self._read_back(endpoint, lambda state: name not in state.deployments, f"{name} gone")

    @waits_for_others
    @signs_in_anew
    def delete_endpoint(self, endpoint: str) -> None:
        """Delete an endpoint with all its deployments unless it is gone."""
        if self.observe(endpoint) is not None:
            with self._translated(f"delete endpoint {endpoint}"):
                self._follow(self._client.online_endpoints.begin_delete(endpoint), f"deletion of endpoint {endpoint}")
        _until(lambda: self.observe(endpoint) is None, f"{endpoint} gone", self.operation_timeout_s)

    def _last_words(self, endpoint: str, name: str) -> str:
        try:
            log = self._client.online_deployments.get_logs(name=name, endpoint_name=endpoint, lines=50)
        except (AzureError, MlException):
            return ""  # the log only explains; its absence must not hide the failure
        lines = [line.strip() for line in log.splitlines() if line.strip()]
        return f" | log: {lines[-1]}" if lines else ""

    def _unless_missing(self, endpoint: str, read: Callable[[], T]) -> T | None:
        """What is read of an endpoint, or None if there is no such endpoint."""
        with self._translated(f"read endpoint {endpoint}"):
            try:
                return read()
            except ResourceNotFoundError:
                self._arm.get()  # a mistyped workspace is no missing endpoint
                return None

    def settled(self, endpoint: str, *deployments: str) -> EndpointState:
        """The endpoint, once each of the deployments is in a final state or gone."""
        return self._read_back(
            endpoint,
            lambda state: all(name not in state.deployments or _is_final(state, name) for name in deployments),
            f"a final state of {' and '.join(deployments)}",
        )

    def _read_back(self, endpoint: str, shows: Callable[[EndpointState], bool], wanted: str) -> EndpointState:
        def look() -> EndpointState | None:
            state = self.existing(endpoint)
            return state if shows(state) else None

        return _until(look, wanted, self.operation_timeout_s)


def _until(look: Callable[[], T | None], wanted: str, timeout_s: float, *, retryable: bool = False) -> T:
    """Look until there is something to see; AzureFailed when there is not in time."""
    if not (seen := poll(look, timeout_s)):
        remedy = "" if retryable else f"; {LOOK_THERE}"
        msg = f"Azure does not show {wanted} after {timeout_s:.0f} s{remedy}"
        raise AzureFailed(msg, retryable=retryable)
    return seen


def _endless(operation: str, timeout_s: float) -> AzureFailed:
    return AzureFailed(f"the {operation} has not ended after {timeout_s:.0f} s; {LOOK_THERE}")


def _unless_shown(change: Callable[[Tags], Tags]) -> Callable[[Tags], Tags]:
    """`change`, but what it made before is left as it is: it was sent, whatever was answered."""
    made: dict[str, str | None] = {}

    def changed(tags: Tags) -> Tags:
        nonlocal made
        if made and all(tags.get(name) == value for name, value in made.items()):
            return tags
        new = change(dict(tags))
        made = {name: new.get(name) for name in tags.keys() | new.keys() if tags.get(name) != new.get(name)}
        return new

    return changed


def _path(endpoint: str) -> str:
    return f"onlineEndpoints/{endpoint}"


def _existing(endpoint: str, read: T | None) -> T:
    if read is None:
        msg = f"endpoint {endpoint} does not exist; create it with `saferollout bootstrap`"
        raise Missing(msg)
    return read


def _endpoint(shown: Resource, deployments: Iterable[Resource] = ()) -> EndpointState:
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
