"""What every resource needs to answer, put together."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from localazure.arm.faults import Faults
from localazure.arm.identity import Identity
from localazure.arm.ids import Scope
from localazure.arm.installation import Installation
from localazure.arm.managed_identity import ManagedIdentity
from localazure.arm.operations import Operations
from localazure.core.clock import Clock
from localazure.core.disk import Disk
from localazure.core.store import Store

LOCATION = "local"
RESOURCE_GROUP = "local"
WORKSPACE = "local"


@dataclass(frozen=True)
class Arm:
    """The workspace, where it is reached, and what all of its resources share."""

    scope: Scope
    base_url: str
    location: str
    store: Store
    clock: Clock
    disk: Disk
    identity: Identity
    managed_identity: ManagedIdentity
    operations: Operations
    faults: Faults

    @classmethod
    def build(
        cls,
        installation: Installation,
        base_url: str,
        store: Store,
        clock: Clock,
        cut: Callable[[tuple[str, int]], None],
    ) -> Self:
        """Put it together; `cut` resets the connection from a client's (host, port).

        Returns:
            All of it.
        """
        scope = Scope(installation.subscription_id, RESOURCE_GROUP, WORKSPACE)
        disk = Disk()
        identity = Identity(
            base_url,
            installation.tenant_id,
            installation.client_id,
            installation.client_secret,
            installation.token_key,
        )
        return cls(
            scope=scope,
            base_url=base_url,
            location=LOCATION,
            store=store,
            clock=clock,
            disk=disk,
            identity=identity,
            managed_identity=ManagedIdentity(identity, installation.client_secret.encode()),
            operations=Operations(store, scope, base_url, LOCATION, clock),
            faults=Faults(clock, disk, cut),
        )
