"""Who may use the storage account: whoever has a signature for a container, or a token for storage."""

import base64
import hmac
import time
import urllib.parse

from starlette.requests import Request

from localazure.arm.errors import BLOB_VERSION, ArmError, BlobError
from localazure.arm.identity import Identity

SAS_LIFE_S = 3600
AUDIENCE = "https://storage.azure.com"
"""Whom a token of Microsoft Entra must be for."""


class BlobAccess:
    """Gives signatures by the account's `key`, and checks them and tokens."""

    def __init__(self, key: bytes, identity: Identity) -> None:
        self._key = key
        self._identity = identity

    def sas(self, container: str) -> str:
        """Return a query string that grants everything on `container` for an hour."""
        expires = str(int(time.time()) + SAS_LIFE_S)
        return urllib.parse.urlencode(
            {"sv": BLOB_VERSION, "sr": "c", "sp": "racwdl", "se": expires, "sig": self._signature(container, expires)}
        )

    def require(self, request: Request, container: str) -> None:
        """Check that the request may use the container.

        Raises:
            BlobError: It may not.
        """
        if "authorization" in request.headers and "sig" not in request.query_params:
            self._check_token(request)
        else:
            self._check_signature(request, container)

    def _check_signature(self, request: Request, container: str) -> None:
        query = request.query_params
        expires, signature = query.get("se", ""), query.get("sig", "")
        expected = self._signature(container, expires)
        if not (expires.isdigit() and hmac.compare_digest(expected.encode(), signature.encode())):
            raise BlobError(403, "AuthenticationFailed", "Server failed to authenticate the request.")
        if int(expires) < time.time():
            raise BlobError(403, "AuthenticationFailed", "Signature not valid in the specified time frame.")

    def _check_token(self, request: Request) -> None:
        try:
            self._identity.check(request)
        except ArmError as error:
            code = "AuthorizationPermissionMismatch" if error.status == 403 else "InvalidAuthenticationInfo"
            raise BlobError(error.status, code, str(error)) from error
        if self._identity.audience_of(request).rstrip("/") != AUDIENCE:
            raise BlobError(401, "InvalidAuthenticationInfo", f"The token must be for {AUDIENCE}.")

    def _signature(self, container: str, expires: str) -> str:
        return base64.b64encode(hmac.digest(self._key, f"{container}\n{expires}".encode(), "sha256")).decode()
