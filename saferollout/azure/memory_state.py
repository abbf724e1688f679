"""What Azure's twin in memory keeps."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from saferollout.azure.port import Resource, StoredFile


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
