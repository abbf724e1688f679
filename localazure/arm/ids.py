"""The workspace's ids, and what ARM writes on resources and answers: times, who changed them, request ids."""

import datetime
import uuid
from dataclasses import dataclass

from starlette.requests import Request

from localazure.arm.documents import SystemData

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
    def subscription_provider_id(self) -> str:
        """The provider's ARM id in the subscription, under which Azure keeps its operation resources."""
        return f"/subscriptions/{self.subscription_id}/providers/{PROVIDER}"

    def contains(self, arm_id: str) -> bool:
        """Return whether `arm_id` names something in this workspace (ids compare without regard to case)."""
        return arm_id.lower().startswith(self.id.lower() + "/")


def now() -> str:
    """Return this moment in UTC, as ARM writes times."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


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


def request_headers(request: Request) -> dict[str, str]:
    """Return what ARM puts on every answer: the ids by which a request can be found again."""
    headers = {"x-ms-request-id": str(uuid.uuid4()), "x-ms-correlation-request-id": str(uuid.uuid4())}
    if client_id := request.headers.get("x-ms-client-request-id"):
        headers["x-ms-client-request-id"] = client_id
    return headers
