"""What the rollout needs of Azure Machine Learning, one management call a method: the port.

`client.py` is Azure itself, `memory.py` its twin without a server; the same contract tests run on both. What is above
the port (`workspace.py`) makes reconciliations of these calls.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from saferollout.domain.registered_model import RegisteredModel
from saferollout.domain.vm_size import VmSize

Resource = dict[str, Any]
"""A resource as Azure Resource Manager writes it in JSON."""

LOOK_THERE = (
    "look at the endpoint in Azure: nothing else can be changed before that has ended; if operations may take longer, "
    "raise workspace.operation_timeout_s"
)
"""What a person can do about an operation that does not end."""


class NewDeployment(Protocol):
    """A deployment as its Azure ML YAML describes it, to be created by the port that read it."""

    instance_count: int | None
    instance_type: str | None
    tags: dict[str, str] | None


class NewEndpoint(Protocol):
    """An endpoint as its Azure ML YAML describes it, to be created by the port that read it."""

    name: str
    traffic: dict[str, int]


class StoredFile(NamedTuple):
    """A file that Azure keeps."""

    size: int
    """In bytes."""
    md5: bytes
    """The MD5 digest of its content; empty where Azure does not know it."""


class Folder(Protocol):
    """A folder that Azure keeps, such as a deployment's code."""

    @property
    def files(self) -> Mapping[str, StoredFile]:
        """Its files by their paths in it."""
        ...

    def read(self, name: str) -> bytes:
        """A file's content."""
        ...


class Azure(Protocol):
    """One workspace. A change returns when its operation has ended well.

    Raises:
        AzureFailed: Azure or the network failed, in any method; with the status of what Azure refuses.
        Busy: Another operation on the same endpoint or deployment is under way.
    """

    @property
    def operation_timeout_s(self) -> float:
        """How long one operation may take."""
        ...

    @property
    def drain_s(self) -> float:
        """How long gateways and requests under way may take to leave a deployment that no longer gets traffic."""
        ...

    def settle(self, took_s: float) -> None:
        """Wait until every change that somebody sent before has arrived; one that has been read back took `took_s`."""
        ...

    def list_endpoints(self) -> list[Resource]:
        """All endpoints in the workspace, sorted by name."""
        ...

    def read_endpoint(self, endpoint: str) -> Resource | None:
        """The endpoint, or None if there is no such endpoint."""
        ...

    def list_deployments(self, endpoint: str) -> list[Resource] | None:
        """The deployments of an endpoint, or None if there is no such endpoint."""
        ...

    def load_endpoint(self, path: Path) -> NewEndpoint:
        """Read an endpoint's Azure ML YAML.

        Raises:
            ConfigError: It is wrong.
        """
        ...

    def load_deployment(self, path: Path, *, name: str, endpoint: str, assets: Mapping[str, str]) -> NewDeployment:
        """Read a deployment's Azure ML YAML under another name, with registered assets.

        Raises:
            ConfigError: It is wrong.
        """
        ...

    def create_endpoint(self, wanted: NewEndpoint) -> None:
        """Create an endpoint that this port has loaded."""
        ...

    def put_endpoint(self, endpoint: str, resource: Resource) -> None:
        """Replace the endpoint: traffic, mirrored traffic and tags are those of the resource."""
        ...

    def delete_endpoint(self, endpoint: str) -> None:
        """Delete the endpoint with all its deployments."""
        ...

    def create_deployment(self, wanted: NewDeployment, uploaded: Callable[[], None]) -> None:
        """Create a deployment that this port has loaded; it gets no traffic.

        `uploaded` is called once everything local has been read; what it raises ends the call.
        """
        ...

    def scale_deployment(self, endpoint: str, name: str, instance_count: int) -> None:
        """Give a deployment so many instances; all else about it stays."""
        ...

    def delete_deployment(self, endpoint: str, name: str) -> None:
        """Delete a deployment; Azure refuses while it has traffic or mirrored traffic."""
        ...

    def last_words(self, endpoint: str, name: str) -> str:
        """The last line of a deployment's log; empty where there is none, or it cannot be read."""
        ...

    def secret(self, endpoint: str, *, is_refused: bool = False) -> str:
        """What the endpoint's `Authorization: Bearer` header takes; a new one if the last one `is_refused`."""
        ...

    def read_vm_sizes(self, location: str) -> dict[str, VmSize]:
        """The VM sizes of a region whose quota Azure shows, by their names in small letters."""
        ...

    def read_autoscaled(self, endpoint: str) -> set[str]:
        """The endpoint's deployments that an enabled autoscale setting of Azure Monitor scales, in small letters.

        Settings are looked for in the workspace's resource group.
        """
        ...

    def resolve(self, kind: str, asset: str) -> str:
        """The registered `model` or `environment` with the version that its label is on now."""
        ...

    def open_code(self, code: str) -> Folder:
        """The folder of a code asset, by its resource id."""
        ...

    def read_environment(self, environment: str) -> Resource:
        """An environment's version by its resource id."""
        ...

    def list_models(self) -> list[str]:
        """The names of all registered models, sorted; not of those that are archived."""
        ...

    def list_model_versions(self, model: str) -> list[RegisteredModel]:
        """The versions of a registered model, the newest first, without archived ones; none if there is no such model.

        One call, where they fit into one page of Azure's.
        """
        ...
