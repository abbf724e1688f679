"""What Azure's twin in memory keeps."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from saferollout.azure.port import Resource, StoredFile

T = TypeVar("T")


def copy_json(value: T) -> T:
    """A copy of JSON, in a quarter of the time that `copy.deepcopy` takes."""
    copy: Any = value
    if isinstance(value, dict):
        copy = {name: copy_json(held) for name, held in value.items()}
    elif isinstance(value, list):
        copy = [copy_json(held) for held in value]
    return cast("T", copy)


@dataclass
class NewEndpoint:
    """An endpoint that is to be created."""

    name: str
    traffic: dict[str, int]
    tags: dict[str, str]
    compute: str | None


@dataclass
class NewDeployment:
    """A deployment that is to be created."""

    name: str
    endpoint: str
    instance_count: int | None
    instance_type: str | None
    tags: dict[str, str] | None
    model: str
    environment: str


@dataclass(frozen=True)
class MemoryFolder:
    """A folder of code."""

    contents: Mapping[str, bytes]

    @property
    def files(self) -> dict[str, StoredFile]:
        """See `Folder`."""
        return {
            name: StoredFile(len(content), hashlib.md5(content, usedforsecurity=False).digest())
            for name, content in self.contents.items()
        }

    def read(self, name: str) -> bytes:
        """See `Folder`."""
        return self.contents[name]


@dataclass(frozen=True)
class Deployment:
    """A deployment, and as what it last became ready: a failed update leaves that running."""

    resource: Resource
    serving: Resource | None


@dataclass(frozen=True)
class Endpoint:
    """An endpoint with its deployments, by their names in small letters."""

    resource: Resource
    deployments: Mapping[str, Deployment] = field(default_factory=dict)

    @property
    def is_kubernetes(self) -> bool:
        """Whether it has its own compute; there is no mirroring and no limit of instances then."""
        return bool(self.resource["properties"].get("compute"))
