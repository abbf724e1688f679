"""The workspace's ids, and what ARM writes on resources and answers: times, who changed them, request ids."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

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
        """Whether `arm_id` names something in this workspace (ids compare without regard to case)."""
        return arm_id.lower().startswith(self.id.lower() + "/")


def now() -> str:
    """This moment in UTC, as ARM writes times."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def system_data(previous: dict[str, Any] | None = None) -> dict[str, Any]:
    """`systemData` of a resource that is created now, or changed now if `previous` says when it was created."""
    moment = now()
    created = previous or {"createdAt": moment, "createdBy": "local", "createdByType": "Application"}
    return {**created, "lastModifiedAt": moment, "lastModifiedBy": "local", "lastModifiedByType": "Application"}


def request_headers(request: Request) -> dict[str, str]:
    """What ARM puts on every answer: the ids by which a request can be found again."""
    headers = {"x-ms-request-id": str(uuid.uuid4()), "x-ms-correlation-request-id": str(uuid.uuid4())}
    if client_id := request.headers.get("x-ms-client-request-id"):
        headers["x-ms-client-request-id"] = client_id
    return headers
