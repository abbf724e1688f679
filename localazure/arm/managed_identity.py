"""Managed identity: tokens for whoever runs in Azure, asked for as in an App Service or on Azure ML's compute."""

import hmac
import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localazure.arm.identity import Identity

PATH = "/msi/token"
ENDPOINTS = "00000000-0000-0000-0000-000000000000"
"""The principal of every endpoint's identity."""

_HEADERS = ("x-identity-header", "secret")
"""By which a caller shows who it is: in an App Service, and on Azure ML's compute."""


class ManagedIdentity:
    """Gives tokens to whoever has a header that `header` returned: its value names the principal and is signed."""

    def __init__(self, identity: Identity, key: bytes) -> None:
        self._identity = identity
        self._key = key

    @property
    def endpoint(self) -> str:
        """The address: `IDENTITY_ENDPOINT`, or `MSI_ENDPOINT`."""
        return f"{self._identity.base_url}{PATH}"

    def header(self, principal: str) -> str:
        """Return the secret by which `principal` gets its tokens: `IDENTITY_HEADER`, or `MSI_SECRET`.

        The application's own id gets tokens that may manage; with those of another principal one can only score.
        """
        return f"{principal}.{hmac.digest(self._key, f'managed identity {principal}'.encode(), 'sha256').hex()}"

    def routes(self) -> list[Route]:
        """Return the page that gives tokens."""
        return [Route(PATH, self._token, methods=["GET"])]

    async def _token(self, request: Request) -> Response:
        given = next((request.headers[name] for name in _HEADERS if name in request.headers), "")
        principal, _, _ = given.rpartition(".")
        if not hmac.compare_digest(given.encode(), self.header(principal).encode()):
            return _refused(
                "unauthorized_client", "The header with the secret of the identity is missing or wrong.", 401
            )
        query = request.query_params
        resource = query.get("resource", "").removesuffix("/.default")
        if not resource:
            return _refused(
                "invalid_request", "The query parameter 'resource' says for whom the token is: it is missing."
            )
        client_id = query.get("client_id") or query.get("clientid")
        if principal == self._identity.client_id and client_id not in (None, principal):
            return _refused("invalid_request", f"No managed identity has the client id '{client_id}'.")
        life_s = self._identity.token_life_s
        return JSONResponse(
            {
                "access_token": self._identity.issue(resource, principal=principal),
                "client_id": client_id or principal,
                "expires_in": str(life_s),
                "expires_on": str(int(time.time()) + life_s),
                "resource": resource,
                "token_type": "Bearer",
            }
        )


def _refused(error: str, description: str, status: int = 400) -> Response:
    return JSONResponse(
        {"error": error, "error_description": description, "statusCode": status, "message": description}, status
    )
