"""The workspace's ids, and what is written on resources: times, and who changed them."""

import uuid
from dataclasses import dataclass

from localazure.arm.documents import SystemData
from localazure.core.clock import now

PROVIDER = "Microsoft.MachineLearningServices"


@dataclass(frozen=True)
class Scope:
    """The one workspace that a local Azure holds."""

    subscription_id: str
    resource_group: str
    workspace: str

    @property
    def id(self) -> str:
        """The workspace's ARM id."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/{PROVIDER}/workspaces/{self.workspace}"
        )

    @property
    def workspace_id(self) -> str:
        """The workspace's own guid, by which the service calls it; as long as the state directory lives."""
        return self.guid_of("workspace")

    def guid_of(self, what: str) -> str:
        """Return a guid for something that belongs to the workspace: always the same."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.subscription_id}/{what}"))

    @property
    def subscription_provider_id(self) -> str:
        """The provider's ARM id in the subscription, under which Azure keeps its operation resources."""
        return f"/subscriptions/{self.subscription_id}/providers/{PROVIDER}"

    def contains(self, arm_id: str) -> bool:
        """Return whether `arm_id` names something in this workspace (ids compare without regard to case)."""
        return arm_id.lower().startswith(self.id.lower() + "/")


def system_data(previous: SystemData | None = None) -> SystemData:
    """Return `systemData` of a resource that is created now, or changed now if `previous` says when it was created."""
    moment = now()
    return SystemData(
        created_at=previous.created_at if previous else moment,
        created_by=previous.created_by if previous else "local",
        created_by_type=previous.created_by_type if previous else "Application",
        last_modified_at=moment,
        last_modified_by="local",
        last_modified_by_type="Application",
    )
