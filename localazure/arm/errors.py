"""What goes wrong in local Azure, as one tree.

LocalAzureError
  ResponseError: the request is answered with something other than success
    ArmError: as Azure Resource Manager words it
      BadRequest: the request breaks a rule
      Unauthorized: no token, or one that is not valid
      Forbidden: the token is valid, but its owner may not do this
      NotFound: there is no such resource
      Conflict: not now
      TooManyRequests: not so fast
      NotSupported: Azure can, local Azure cannot
    BlobError: as Blob Storage words it
  StartFailed: local Azure cannot start
  NotRunning: no local Azure runs on a state directory
  GatewayError: Envoy did not start, or did not take its configuration
  BuildFailed: an environment or an image cannot be built
  InstanceFailed: an instance did not start, ended, or did not become ready
  UnsupportedQuery: a query that local Azure cannot run
  ZygoteFailed, in localazure.compute.zygotes: a scoring server must be started without a fork
  AdminError, in localazure.chaos: the admin API refused
  NotReady, in localazure.testing: `localazure up` did not become ready

Two are not in the tree. NoHome, in localazure.core.directories, is an OSError: that room is below this one, and knows
none above it. NotHit, in localazure.chaos, is an AssertionError: a test has failed, not local Azure.
"""

import uuid
from typing import Any

from starlette.responses import JSONResponse, Response

from localazure.core.clock import now

USER_ERROR = "UserError"
"""The service's code for whatever the client can mend."""

_GENERAL = {
    400: "The request cannot be carried out as it is.",
    404: "The specified resource was not found.",
    409: "The resource is in a state in which the request cannot be carried out.",
}
"""What the service says of a status; the reason is in the details."""

_ARM_SAYS = {"InvalidRequestContent", "InvalidTags", "RequestEntityTooLarge"}
"""Codes of what ARM finds before the service is asked."""


BLOB_VERSION = "2025-01-05"
BLOB_SERVER = "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0"


class LocalAzureError(Exception):
    """Something went wrong; the message says what."""


class StartFailed(LocalAzureError):
    """Local Azure cannot start; the message says why and what to do."""


class NotRunning(LocalAzureError):
    """No local Azure runs on the state directory."""


class GatewayError(LocalAzureError):
    """Envoy did not start, or did not take its configuration."""


class BuildFailed(LocalAzureError):
    """An environment or an image cannot be built; the message says why."""


class InstanceFailed(LocalAzureError):
    """It did not start, ended, or did not become ready; the message says what its log says."""


class UnsupportedQuery(LocalAzureError):
    """A query that local Azure cannot run; the message says which part of it."""


class ResponseError(LocalAzureError):
    """The request is answered with something other than success."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}

    def response(self) -> Response:
        """Return the whole response."""
        raise NotImplementedError


class ArmError(ResponseError):
    """In ARM's envelope: `{"error": {"code": …, "message": …}}`."""

    def body(self) -> dict[str, Any]:
        """Return the value of `error`, as responses and finished operations carry it."""
        return {"code": self.code, "message": self.message, "details": [], "additionalInfo": []}

    def response(self) -> Response:
        """Return the whole response."""
        return JSONResponse({"error": self.body()}, self.status, self.headers)

    def service_response(self, location: str) -> Response:
        """Return the response as the service words it: the reason is one of the details of a general error."""
        if self.status not in _GENERAL or self.code in _ARM_SAYS:
            return self.response()
        reason = {"code": self.code, "message": self.message, "details": [], "additionalInfo": []}
        plain = self.code == USER_ERROR
        error = {
            "code": USER_ERROR,
            "message": self.message if plain else _GENERAL[self.status],
            "details": [] if plain else [reason],
            "additionalInfo": _additional_info(location),
        }
        return JSONResponse({"error": error}, self.status, self.headers)


class BlobError(ResponseError):
    """As Blob Storage words it: the code in a header and in an XML body."""

    def response(self) -> Response:
        """Return the whole response."""
        body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{self.code}</Code><Message>{self}</Message></Error>'
        headers = {"x-ms-error-code": self.code, "x-ms-version": BLOB_VERSION, "Server": BLOB_SERVER}
        return Response(body, self.status, headers, "application/xml")


class BadRequest(ArmError):
    """400: the request itself breaks a rule; sending it again changes nothing."""

    def __init__(self, message: str, code: str = "BadRequest") -> None:
        super().__init__(400, code, message)


class Unauthorized(ArmError):
    """401: no token, or one that is not valid."""

    def __init__(self, code: str, message: str) -> None:
        header = f'Bearer error="invalid_token", error_description="{message}"'
        super().__init__(401, code, message, {"WWW-Authenticate": header})


class Forbidden(ArmError):
    """403: the token is valid, but its owner may not do this."""

    def __init__(self, message: str) -> None:
        super().__init__(403, "AuthorizationFailed", message)


class NotFound(ArmError):
    """404: there is no such resource."""

    def __init__(self, message: str, code: str = "ResourceNotFound") -> None:
        super().__init__(404, code, message)


class Conflict(ArmError):
    """409: not in the state that the resource is in now."""

    def __init__(self, message: str, code: str = "Conflict") -> None:
        super().__init__(409, code, message)


class TooManyRequests(ArmError):
    """429: a bucket of requests is empty; the headers say when it no longer is."""

    def __init__(self, code: str, message: str, headers: dict[str, str]) -> None:
        super().__init__(429, code, message, headers)


class NotSupported(ArmError):
    """501: Azure can, local Azure cannot; never a silent success."""

    def __init__(self, what: str) -> None:
        super().__init__(501, "NotImplemented", f"Local Azure does not support {what}.")


def reason_of(error: dict[str, Any]) -> dict[str, Any]:
    """Return the innermost of an answer's errors: the one that says what is wrong."""
    details = error.get("details") or []
    return reason_of(details[0]) if details else error


def _additional_info(location: str) -> list[dict[str, Any]]:
    info = {
        "ComponentName": "managementfrontend",
        "Correlation": {"operation": uuid.uuid4().hex, "request": uuid.uuid4().hex[:16]},
        "Environment": location,
        "Location": location,
        "Time": now(),
    }
    return [{"type": name, "info": {"value": value}} for name, value in info.items()]
