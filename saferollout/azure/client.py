"""Azure Machine Learning itself: plain JSON for what exists already, the SDK for what is made from files.

The only module that calls Azure ML.
"""

import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.core.polling import LROPoller

from saferollout.azure import yaml_files
from saferollout.azure.access import credential, translated
from saferollout.azure.arm import Arm
from saferollout.azure.port import LOOK_THERE, Folder, Resource
from saferollout.azure.resources import autoscaled, model_versions, vm_sizes
from saferollout.config.assets import label_of, with_version
from saferollout.config.rollout import WorkspaceConfig
from saferollout.domain.errors import AzureFailed, ConfigError, Problem
from saferollout.domain.fault_points import AFTER, BEFORE, SENT, AzureChange, reach
from saferollout.domain.registered_model import RegisteredModel
from saferollout.domain.vm_size import VmSize

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

T = TypeVar("T")

DATA_PLANE = "https://ml.azure.com/.default"
_NOUNS = {"create": "creation", "update": "update", "scale": "scaling", "delete": "deletion"}

DRAIN = "SAFEROLLOUT_DRAIN_S"
DRAIN_S = 60.0
"""Gateways mostly follow a change of traffic well within that; Azure ends a request after 5 seconds by default."""
SETTLE_S = (1.0, 10.0)
"""The least and the most that a change may be on its way, after it was decided on what Azure showed.

In between: as long as one's own took, whose sender had the same Azure before it, and read it back.
"""

logging.getLogger("azure").setLevel(logging.ERROR)


class Client:
    """The port `Azure` on Azure. One instance serves one thread."""

    def __init__(self, config: WorkspaceConfig) -> None:
        self._config = config
        self.drain_s = _drain_s()
        """See `Azure`."""
        self._connect()

    @property
    def operation_timeout_s(self) -> float:
        """How long one operation may take."""
        return self._config.operation_timeout_s

    def settle(self, took_s: float) -> None:
        """See `Azure`."""
        least, most = SETTLE_S
        time.sleep(min(max(least, took_s), most))

    def _connect(self) -> None:
        """Sign in, with nothing kept of earlier tokens."""
        config = self._config
        with translated("open the workspace"):
            self._credential = credential()
            self._arm = Arm(self._credential, config)
        self._made: MLClient | None = None

    @property
    def _sdk(self) -> "MLClient":
        """The SDK's client of the workspace, made where it is first needed.

        Raises:
            AzureFailed: The cloud's own description could not be read.
        """
        if self._made is None:
            from azure.ai.ml import MLClient  # only now: the import takes a second, and few runs need it

            config = self._config
            with translated("open the workspace"):
                self._made = MLClient(
                    self._credential,
                    config.subscription_id,
                    config.resource_group,
                    config.name,
                    enable_telemetry=False,
                    show_progress=True,  # it draws none; see this package's first lines
                )
        return self._made

    @contextmanager
    def _translated(self, action: str) -> Iterator[None]:
        """`translated`; after a 401 the next call has another token: the credential would give the same one again.

        Raises:
            AzureFailed: Azure refused, failed or did not answer.
        """
        try:
            with translated(action):
                yield
        except AzureFailed as error:
            if error.status == 401:
                self._connect()
            raise

    def _change(
        self,
        change: AzureChange,
        name: str,
        begin: Callable[[], LROPoller[Any]],
        sent: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin an operation, and wait for its end; `sent` is called once Azure has taken it.

        Raises:
            AzureFailed: Azure refused or failed, or the operation has not ended in time.
        """
        reach(change, BEFORE)
        with self._translated(f"{change} {name}"):
            poller = begin()
        sent()
        reach(change, SENT)
        verb, kind = change.split()
        try:
            with self._translated(f"{change} {name}"):
                self._follow(poller, f"{_NOUNS[verb]} of {kind} {name}")
        except AzureFailed as error:
            if error.status != 404:  # reads come late: whoever wants it there reads until it is
                raise
        reach(change, AFTER)

    def _follow(self, poller: LROPoller[Any], operation: str) -> None:
        """Wait for the end of an operation.

        Raises:
            AzureFailed: It has not ended in time.
        """
        poller.wait(self.operation_timeout_s)  # its thread goes on looking, and ends with the process
        if not poller.done():
            msg = f"the {operation} has not ended after {self.operation_timeout_s:.0f} s; {LOOK_THERE}"
            raise AzureFailed(msg)
        poller.result()

    def _unless_missing(self, what: str, read: Callable[[], T]) -> T | None:
        """What is read of an endpoint or model, or None if there is no such thing."""
        with self._translated(f"read {what}"):
            try:
                return read()
            except ResourceNotFoundError:
                self._arm.get()  # a mistyped workspace is not a missing endpoint
                return None

    def list_endpoints(self) -> list[Resource]:
        """See `Azure`."""
        with self._translated("list the endpoints"):
            return sorted(self._arm.list("onlineEndpoints"), key=lambda endpoint: str(endpoint["name"]))

    def read_endpoint(self, endpoint: str) -> Resource | None:
        """See `Azure`."""
        return self._unless_missing(f"endpoint {endpoint}", lambda: self._arm.get(_path(endpoint)))

    def list_deployments(self, endpoint: str) -> list[Resource] | None:
        """See `Azure`."""
        return self._unless_missing(f"endpoint {endpoint}", lambda: self._arm.list(f"{_path(endpoint)}/deployments"))

    def load_endpoint(self, path: Path) -> Any:
        """See `Azure`."""
        return yaml_files.load_endpoint(path)

    def load_deployment(self, path: Path, *, name: str, endpoint: str, assets: Mapping[str, str]) -> Any:
        """See `Azure`."""
        return yaml_files.load_deployment(path, name=name, endpoint=endpoint, assets=assets)

    def create_endpoint(self, wanted: Any) -> None:
        """See `Azure`."""
        create = self._sdk.online_endpoints.begin_create_or_update
        self._change(AzureChange.CREATE_ENDPOINT, wanted.name, lambda: create(wanted))

    def put_endpoint(self, endpoint: str, resource: Resource) -> None:
        """See `Azure`."""
        self._change(AzureChange.UPDATE_ENDPOINT, endpoint, lambda: self._arm.put(_path(endpoint), resource))

    def delete_endpoint(self, endpoint: str) -> None:
        """See `Azure`."""
        self._change(AzureChange.DELETE_ENDPOINT, endpoint, lambda: self._arm.delete(_path(endpoint)))

    def create_deployment(self, wanted: Any, uploaded: Callable[[], None]) -> None:
        """See `Azure`."""
        create = self._sdk.online_deployments.begin_create_or_update  # it uploads first
        self._change(AzureChange.CREATE_DEPLOYMENT, wanted.name, lambda: create(wanted), uploaded)

    def scale_deployment(self, endpoint: str, name: str, instance_count: int) -> None:
        """See `Azure`."""
        sku = {"sku": {"name": "Default", "capacity": instance_count}}
        self._change(AzureChange.SCALE_DEPLOYMENT, name, lambda: self._arm.patch(_path(endpoint, name), sku))

    def delete_deployment(self, endpoint: str, name: str) -> None:
        """See `Azure`."""
        self._change(AzureChange.DELETE_DEPLOYMENT, name, lambda: self._arm.delete(_path(endpoint, name)))

    def last_words(self, endpoint: str, name: str) -> str:
        """See `Azure`."""
        try:
            log = self._sdk.online_deployments.get_logs(name=name, endpoint_name=endpoint, lines=50)
        except AzureError:
            return ""  # the log only explains; its absence must not hide the failure
        lines = [line.strip() for line in log.splitlines() if line.strip()]
        return lines[-1] if lines else ""

    def secret(self, endpoint: str, *, is_refused: bool = False) -> str:
        """See `Azure`."""
        if is_refused:
            self._connect()
        with self._translated(f"get a key of endpoint {endpoint}"):
            match self._arm.get(_path(endpoint))["properties"]["authMode"].lower():
                case "aadtoken":
                    return self._credential.get_token(DATA_PLANE).token
                case "amltoken":
                    return str(self._arm.post(f"{_path(endpoint)}/token")["accessToken"])
                case _:
                    return str(self._arm.post(f"{_path(endpoint)}/listKeys")["primaryKey"])

    def read_vm_sizes(self, location: str) -> dict[str, VmSize]:
        """See `Azure`."""
        with self._translated(f"read the quota of {location}"):
            return vm_sizes(*(self._arm.list_of_location(location, path) for path in ("vmSizes", "usages")))

    def read_autoscaled(self, endpoint: str) -> set[str]:
        """See `Azure`."""
        with self._translated("read the autoscale settings"):
            path = f"workspaces/{self._config.name}/onlineEndpoints/{endpoint}"
            return autoscaled(self._arm.list_autoscale_settings(), path)

    def open_code(self, code: str) -> Folder:
        """See `Azure`."""
        from saferollout.azure import code_asset  # only now: few runs need the client of blobs

        return code_asset.open_code(self._arm, self._credential, code)

    def read_environment(self, environment: str) -> Resource:
        """See `Azure`.

        Raises:
            AzureFailed: It is another workspace's or a registry's, or Azure refused, failed or did not answer.
        """
        if not (path := self._arm.path_of(environment)):
            msg = "the environment is not this workspace's"
            raise AzureFailed(msg)
        with self._translated("look up the environment"):
            return self._arm.get(path)

    def list_models(self) -> list[str]:
        """See `Azure`."""
        with self._translated("list the models"):
            return sorted(str(model["name"]) for model in self._arm.list("models", "&listViewType=ActiveOnly"))

    def list_model_versions(self, model: str) -> list[RegisteredModel]:
        """See `Azure`."""
        path = f"models/{quote(model, safe='')}/versions"
        found = self._unless_missing(f"model {model}", lambda: self._arm.list(path, "&listViewType=ActiveOnly"))
        return model_versions(model, found or [])

    def resolve(self, kind: str, asset: str) -> str:
        """See `Azure`."""
        if (label := label_of(asset)) is None:
            return asset
        where = f" in registry {label.registry}" if label.registry else ""
        with self._translated(f"look up the {label.label} version of {kind} {label.name}{where}"):
            client = self._sdk
            if label.registry:
                client = type(client)(self._credential, registry_name=label.registry, enable_telemetry=False)
            operations = client.models if kind == "model" else client.environments
            return with_version(asset, str(operations.get(label.name, label=label.label).version))


def _drain_s() -> float:
    """Return what the environment says, or the default.

    Raises:
        ConfigError: It is not a number of seconds.
    """
    text = os.environ.get(DRAIN) or str(DRAIN_S)
    try:
        given = float(text)
    except ValueError:
        given = math.nan
    if not 0 <= given < math.inf:
        raise ConfigError(Problem("environment", DRAIN, f"{text[:40]!r} is not a number of seconds", "e.g. 60"))
    return given


def _path(endpoint: str, deployment: str = "") -> str:
    path = f"onlineEndpoints/{quote(endpoint, safe='')}"
    return f"{path}/deployments/{quote(deployment, safe='')}" if deployment else path
