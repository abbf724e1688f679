"""What clients manage, put together."""

from dataclasses import dataclass
from typing import Self

from starlette.routing import Route

from localazure.arm.assembly import Arm
from localazure.compute.assembly import Compute
from localazure.resources.deployments import Deployments
from localazure.resources.endpoints import Endpoints
from localazure.resources.inventory import Inventory
from localazure.resources.quota import Quota
from localazure.resources.restarts import Restarts
from localazure.resources.subscription import Subscription
from localazure.resources.usages import Usages
from localazure.resources.views import Views
from localazure.resources.workspace import Workspace
from localazure.storage.assembly import Storage


@dataclass(frozen=True)
class Resources:
    """The workspace with its endpoints and their deployments."""

    subscription: Subscription
    usages: Usages
    workspace: Workspace
    endpoints: Endpoints
    deployments: Deployments
    restarts: Restarts
    inventory: Inventory

    @classmethod
    def build(cls, arm: Arm, storage: Storage, compute: Compute, quota: Quota, identity_based: bool) -> Self:
        """Put it together; `identity_based` is whether the datastore is.

        Returns:
            All of them.
        """
        restarts = Restarts(arm.operations, arm.clock)
        views = Views(arm.operations, compute.runtime, storage.assets)
        workspace = Workspace(
            arm.base_url, arm.scope, arm.location, arm.identity.tenant_id, identity_based, storage.blobs
        )
        return cls(
            subscription=Subscription(arm.scope, arm.identity.tenant_id, arm.location, workspace),
            usages=Usages(arm.store, quota, arm.scope, arm.location),
            workspace=workspace,
            endpoints=Endpoints(
                arm.store,
                arm.operations,
                compute.runtime,
                compute.revisions,
                arm.identity,
                views,
                arm.scope,
                arm.location,
            ),
            deployments=Deployments(
                arm.store,
                arm.operations,
                restarts,
                compute.runtime,
                storage.assets,
                compute.programs,
                compute.revisions,
                quota,
                views,
                arm.scope,
                arm.location,
            ),
            restarts=restarts,
            inventory=Inventory(arm.store),
        )

    def resume(self) -> None:
        """Go on with what an earlier process left unfinished, and bring back what it served."""
        self.endpoints.resume()
        self.deployments.restore()

    def open_routes(self) -> list[Route]:
        """Return those that need no token."""
        return self.workspace.cloud_routes()

    def routes(self, root: str) -> list[Route]:
        """Return those under the workspace's path, and what is above it."""
        below = [*self.workspace.routes(root), *self.endpoints.routes(root), *self.deployments.routes(root)]
        return [*self.subscription.routes(), *self.usages.routes(), *below]
