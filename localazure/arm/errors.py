"""Errors, as Azure Resource Manager answers them."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response


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
