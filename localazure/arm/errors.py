"""Azure Resource Manager's own forms: errors, ids, timestamps, and the headers of its answers."""

from __future__ import annotations

import datetime
import json
import uuid
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

PROVIDER = "Microsoft.MachineLearningServices"
MAX_BODY_BYTES = 4 * 1024 * 1024


class ArmError(Exception):
    """An answer other than success, in ARM's envelope: `{"error": {"code": …, "message": …}}`."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """The value of `error`, as answers and finished operations carry it."""
        return {"code": self.code, "message": self.message, "details": [], "additionalInfo": []}

    def response(self) -> Response:
        """The whole answer."""
        return JSONResponse({"error": self.body()}, self.status, self.headers)


def bad_request(message: str, code: str = "BadRequest") -> ArmError:
    """400: the request itself breaks a rule; sending it again changes nothing."""
    return ArmError(400, code, message)


def not_found(message: str, code: str = "ResourceNotFound") -> ArmError:
    """404: there is no such resource."""
    return ArmError(404, code, message)


def conflict(message: str, code: str = "Conflict") -> ArmError:
    """409: not in the state that the resource is in now."""
    return ArmError(409, code, message)


def not_implemented(what: str) -> ArmError:
    """501: Azure can, local Azure cannot; never a silent success."""
    return ArmError(501, "NotImplemented", f"Local Azure does not support {what}.")


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


async def content(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """The request's body. Raises ArmError (413) for one of more than `limit` bytes."""
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > limit:
            raise ArmError(413, "RequestEntityTooLarge", f"The request body is larger than {limit} bytes.")
    return bytes(received)


async def json_object(request: Request) -> dict[str, Any]:
    """The request's body. Raises ArmError: 400 for a body that is no JSON object, 413 for one that is too large."""
    received = await content(request)
    try:
        body = json.loads(received or b"{}")
    except ValueError as error:
        raise bad_request(f"The request body is not valid JSON: {error}", "InvalidRequestContent") from error
    except RecursionError as error:
        raise bad_request("The request body is nested too deeply.", "InvalidRequestContent") from error
    if not isinstance(body, dict):
        raise bad_request("The request body must be a JSON object.", "InvalidRequestContent")
    return body


def request_headers(request: Request) -> dict[str, str]:
    """What ARM puts on every answer: the ids by which a request can be found again."""
    headers = {"x-ms-request-id": str(uuid.uuid4()), "x-ms-correlation-request-id": str(uuid.uuid4())}
    if client_id := request.headers.get("x-ms-client-request-id"):
        headers["x-ms-client-request-id"] = client_id
    return headers
