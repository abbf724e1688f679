"""What goes wrong in local Azure, as one tree.

LocalAzureError
  ResponseError: the request is answered with something other than success
    ArmError: as Azure Resource Manager words it
      BadRequest: the request breaks a rule
      Unauthorized: no token, or one that is not valid
      Forbidden: the token is valid, but its owner may not do this
      NotFound: there is no such resource
      Conflict: not now
      NotSupported: Azure can, local Azure cannot
    BlobError: as Blob Storage words it
  StartFailed: local Azure cannot start
  NotRunning: no local Azure runs on a state directory
  GatewayError: Envoy did not start, or did not take its configuration
  BuildFailed: an environment or an image cannot be built
  InstanceFailed: an instance did not start, ended, or did not become ready
  UnsupportedQuery: a query that local Azure cannot run
"""

from typing import Any

from starlette.responses import JSONResponse, Response


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


class BlobError(ResponseError):
    """As Blob Storage words it: the code in a header and in an XML body."""

    def response(self) -> Response:
        """Return the whole response."""
        body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{self.code}</Code><Message>{self}</Message></Error>'
        return Response(body, self.status, {"x-ms-error-code": self.code}, "application/xml")


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


class NotSupported(ArmError):
    """501: Azure can, local Azure cannot; never a silent success."""

    def __init__(self, what: str) -> None:
        super().__init__(501, "NotImplemented", f"Local Azure does not support {what}.")
