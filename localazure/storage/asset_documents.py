"""Assets as clients register them and as they are kept: what each kind of asset has."""

import json
import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import yaml
from pydantic.alias_generators import to_camel

from localazure.arm.documents import Body, Document, ResourceBody, SystemData
from localazure.arm.errors import BadRequest, NotSupported
from localazure.arm.paging import Filter, pairs, view


class AssetProperties(Body):
    """What any version of an asset has."""

    description: Any = None
    tags: dict[str, Any] | None = None
    properties: dict[str, Any] | None = None
    is_archived: Any = None
    is_anonymous: Any = None
    provisioning_state: Any = None


class CodeProperties(AssetProperties):
    """A folder of code."""

    stage: Any = None
    code_uri: str | None = None


class Flavor(Body):
    """One of the ways to load a model."""

    data: dict[str, Any] | None = None


class ModelProperties(AssetProperties):
    """The files of a model."""

    flavors: dict[str, Flavor] | None = None
    model_type: Any = None
    stage: Any = None
    model_uri: str | None = None
    auto_delete_setting: Any = None
    job_name: Any = None
    intellectual_property: Any = None


class DataProperties(AssetProperties):
    """Data; what is collected goes where it says."""

    data_type: Any = None
    stage: Any = None
    data_uri: Any = None
    referenced_uris: Any = None


class Build(Body):
    """What an image is built from."""

    context_uri: str | None = None
    dockerfile_path: str | None = None


class Route(Body):
    """Where a container is asked; checked when it is to run."""

    path: Any = None
    port: Any = None


class InferenceConfig(Body):
    """Where an image's own server is asked."""

    liveness_route: Route | None = None
    readiness_route: Route | None = None
    scoring_route: Route | None = None


class EnvironmentProperties(AssetProperties):
    """Packages, or an image."""

    os_type: Any = None
    environment_type: Any = None
    stage: Any = None
    auto_rebuild: Any = None
    build: Build | None = None
    conda_file: Any = None
    image: str | None = None
    auto_delete_setting: Any = None
    intellectual_property: Any = None
    inference_config: InferenceConfig | None = None


class ComponentProperties(AssetProperties):
    """A step for pipeline jobs. It is kept as it was written: no job runs here."""

    stage: Any = None
    component_spec: dict[str, Any] | None = None


P = TypeVar("P", bound=AssetProperties)
A = TypeVar("A", bound=Body)


class VersionBody(ResourceBody, Generic[P]):
    """What a client sends to register a version."""

    properties: P | None = None


class Version(Document, Generic[P]):
    """A version of an asset."""

    id: str
    name: str
    """The version itself, such as `3`; the asset's own name is in `id`."""
    type: str
    properties: P
    system_data: SystemData


class ContainerProperties(Body):
    """What all versions of a name have together, as a client writes it."""

    description: Any = None
    tags: dict[str, Any] | None = None
    properties: dict[str, Any] | None = None
    is_archived: Any = None
    latest_version: Any = None
    next_version: Any = None
    provisioning_state: Any = None


class ContainerBody(ResourceBody):
    """What a client sends to describe all versions of a name."""

    properties: ContainerProperties | None = None


class WrittenContainer(Document):
    """What a client has said of all versions of a name."""

    name: str
    properties: ContainerProperties
    system_data: SystemData


class Container(Document):
    """All versions of a name, as clients see them."""

    id: str
    name: str
    type: str
    properties: ContainerProperties
    system_data: SystemData


class UploadBody(Body):
    """How a client wants to upload."""

    pending_upload_id: Any = None
    pending_upload_type: Any = None


PROPERTIES: dict[str, type[AssetProperties]] = {
    "codes": CodeProperties,
    "models": ModelProperties,
    "environments": EnvironmentProperties,
    "data": DataProperties,
    "components": ComponentProperties,
}
"""The kinds of assets, as they are called in paths."""

BODIES: dict[str, type[VersionBody[Any]]] = {
    "codes": VersionBody[CodeProperties],
    "models": VersionBody[ModelProperties],
    "environments": VersionBody[EnvironmentProperties],
    "data": VersionBody[DataProperties],
    "components": VersionBody[ComponentProperties],
}
"""What a client sends to register a version, by kind."""

COMMON: dict[str, Any] = {
    "description": None,
    "tags": {},
    "properties": {},
    "is_archived": False,
    "is_anonymous": False,
    "provisioning_state": "Succeeded",
}
"""What every version has unless a client says otherwise."""

DEFAULTS: dict[str, dict[str, Any]] = {
    "models": {"flavors": {}, "model_type": "custom_model"},
    "data": {"data_type": "uri_file"},
    "environments": {"os_type": "Linux", "environment_type": "UserCreated", "auto_rebuild": "Disabled"},
}
"""What a kind of asset has unless a client says otherwise."""

_ADDRESSES = ("code_uri", "model_uri", "data_uri", "context_uri")


def with_addresses(properties: A, change: Callable[[str], str]) -> A:
    """Return a version's properties with every address of files changed."""
    found = {name: getattr(properties, name, None) for name in _ADDRESSES}
    changed: dict[str, Any] = {name: change(uri) for name, uri in found.items() if isinstance(uri, str)}
    if build := getattr(properties, "build", None):
        changed["build"] = with_addresses(build, change)
    return properties.model_copy(update=changed)


_NOT_SUPPORTED = ("auto_delete_setting", "job_name", "intellectual_property")
"""What versions show, always without a value."""
_LABELS = "azureml.labels"


def render_version(kind: str, resource: "Version[Any]", latest: bool) -> "Version[Any]":
    """Return a version as the service shows it; `latest` is whether it is the newest of its name."""
    given = resource.properties
    named = not given.is_anonymous
    stage = given.stage or ("Development" if named else "Logged")
    update: dict[str, Any] = {}
    match kind:
        case "models":
            update = {**dict.fromkeys(_NOT_SUPPORTED), "stage": stage}
        case "environments":
            labels = {_LABELS: "latest" if latest and named else ""}
            update = {
                "auto_delete_setting": None,
                "intellectual_property": None,
                "stage": stage,
                "properties": (given.properties or {}) | labels,
            }
            if given.conda_file:
                update["conda_file"] = _as_json(given.conda_file)
        case "codes":
            texts = {name: str(value) for name, value in (given.properties or {}).items()}
            update = {"is_anonymous": False, "properties": texts}  # whatever was sent
    return resource.model_copy(update={"properties": given.model_copy(update=update)})


def _as_json(conda_file: Any) -> Any:
    """Return a conda file as the service keeps it: as JSON, if it is YAML at all."""
    try:
        return json.dumps(yaml.safe_load(conda_file), indent=2) if isinstance(conda_file, str) else conda_file
    except (yaml.YAMLError, TypeError):
        return conda_file


def is_archived(resource: Version[Any] | Container) -> bool:
    """Return whether a client has put the asset away."""
    return bool(resource.properties.is_archived)


def references(given: AssetProperties) -> list[str]:
    """The ids of the code and the environment that a component names, but those of registries."""
    spec = getattr(given, "component_spec", None) or {}
    named = (spec.get(name) for name in ("code", "environment"))
    ids = [value.removeprefix("azureml:") for value in named if isinstance(value, str)]
    return [value for value in ids if not value.startswith("//registries/")]


def check_supported(kind: str, given: AssetProperties, old: "Version[Any] | None") -> None:
    """Check that a version asks for nothing that local Azure does not do, and that a component stays what it is.

    Raises:
        BadRequest: It has none, or would become another one.
        NotSupported: It asks for it.
    """
    if isinstance(given, ComponentProperties):
        if not given.component_spec:
            raise BadRequest("A component has a componentSpec.", "UserError")
        if old and old.properties.component_spec != given.component_spec:
            raise BadRequest("A version of a component cannot be changed: register the next one.", "UserError")
    for name in _NOT_SUPPORTED:
        if getattr(given, name, None) is not None:
            raise NotSupported(f"the property 'properties.{to_camel(name)}' of {kind}")


def check_names(*names: str) -> None:
    """Check that these could be an asset's name and version; they become names of folders.

    Raises:
        BadRequest: They could not.
    """
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,254}", name, re.ASCII):
            raise BadRequest(
                f"'{name}' is not a name or version of an asset: they begin with a letter or digit and have at most 255"
                " letters, digits, dots, dashes and underscores."
            )


VERSION_FILTERS: dict[str, Filter[Version[Any]]] = {
    "hash": lambda resource, wanted: wanted in (resource.properties.properties or {}).values(),
    "hashVersion": lambda _resource, _wanted: True,
    "version": lambda resource, wanted: resource.name.lower() == wanted.lower(),
    "description": lambda resource, wanted: bool(resource.properties.description == wanted),
    "stage": lambda resource, wanted: bool(resource.properties.stage == wanted),
    "tags": pairs(lambda resource: resource.properties.tags),
    "properties": pairs(lambda resource: resource.properties.properties),
    "listViewType": view(is_archived),
}
"""The query parameters that choose among versions."""
