"""What clients upload, put together."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from starlette.routing import Route

from localazure.arm.assembly import Arm
from localazure.storage.assets import Assets
from localazure.storage.blobs import Blobs
from localazure.storage.collector import Collector
from localazure.storage.downloads import Downloads
from localazure.storage.registry import Registry


@dataclass(frozen=True)
class Storage:
    """The storage account, the assets whose files are in it, and the way from there to disk."""

    blobs: Blobs
    assets: Assets
    downloads: Downloads
    registry: Registry
    collector: Collector

    @classmethod
    def build(cls, arm: Arm, state: Path, authority: str, key: str, collector_port: int) -> Self:
        """Put it together.

        Args:
            arm: How resources answer.
            state: Where the files are kept.
            authority: The host and port of the management plane.
            key: The account's, in hex.
            collector_port: Where the data collector will listen.

        Returns:
            All of it.
        """
        blobs = Blobs(state / "blobs", arm.store, authority, bytes.fromhex(key), arm.disk, arm.identity)
        assets = Assets(arm.store, blobs, arm.scope)
        registry = Registry(arm.base_url, arm.scope, arm.location, arm.identity)
        return cls(blobs, assets, Downloads(assets, blobs, arm.disk), registry, Collector(blobs, collector_port))

    def open_routes(self) -> list[Route]:
        """Return those that no workspace is named in; they check who asks by themselves."""
        return [*self.registry.open_routes(), *self.blobs.routes()]

    def routes(self, root: str) -> list[Route]:
        """Return those under the workspace's path, and the registry's."""
        return [*self.assets.routes(root), *self.registry.routes()]
