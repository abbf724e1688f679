"""Microsoft Entra, as far as a service principal needs it: discovery, tokens for a client secret, their check."""

import hashlib
import secrets
import time
import urllib.parse
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localazure.arm.bodies import content
from localazure.arm.errors import Forbidden, Unauthorized

TOKEN_LIFE_S = 3600
_MAX_FORM_BYTES = 64 * 1024
_EXPIRED = ("ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than now.")


class Identity:
    """One tenant with one application. Tokens are signed by `key` (see `new_key`), so that they outlive the process."""

    def __init__(self, base_url: str, tenant_id: str, client_id: str, client_secret: str, key: str) -> None:
        self.base_url = base_url
        self.tenant_id = tenant_id
        self.client_id = client_id
        self._client_secret = client_secret
        self._key = _private_key(key)
        self._key_id = hashlib.sha256(self._key.public_key().public_bytes(_DER, _PUBLIC)).hexdigest()[:32]
        self._generation = 0
        self.token_life_s = TOKEN_LIFE_S
        """How long the tokens live that are issued from now on."""

    def expire_tokens(self) -> None:
        """Make every token that has been issued one that has expired."""
        self._generation += 1

    def issue(self, audience: str, life_s: int | None = None, principal: str | None = None) -> str:
        """Return a token for `principal`, else for the application, valid for `life_s` seconds, else `token_life_s`."""
        moment = int(time.time())
        principal = principal or self.client_id
        claims = {
            "aud": audience,
            "iss": self.issuer,
            "tid": self.tenant_id,
            "appid": principal,
            "oid": principal,
            "sub": principal,
            "ver": "2.0",
            "iat": moment,
            "nbf": moment,
            "exp": moment + (self.token_life_s if life_s is None else life_s),
            "generation": self._generation,
        }
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._key_id})

    @property
    def issuer(self) -> str:
        """Who the tokens say has issued them."""
        return f"{self.base_url}/{self.tenant_id}/v2.0"

    @property
    def public_keys(self) -> dict[str, Any]:
        """The JSON Web Key Set that tokens are checked with."""
        key: dict[str, Any] = jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**key, "kid": self._key_id, "use": "sig"}]}

    def check(self, request: Request) -> None:
        """Check that the request carries a token that this tenant issued to its application and that is still valid.

        Raises:
            Unauthorized: It does not.
            Forbidden: It was issued to another principal, which has no role here.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
        try:
            claims = jwt.decode(token, self._key.public_key(), algorithms=["ES256"], options={"verify_aud": False})
        except jwt.ExpiredSignatureError as error:
            raise Unauthorized(*_EXPIRED) from error
        except jwt.InvalidTokenError as error:
            raise Unauthorized("InvalidAuthenticationToken", "The access token is invalid.") from error
        if claims["generation"] != self._generation:
            raise Unauthorized(*_EXPIRED)
        if claims["oid"] != self.client_id:
            raise Forbidden(
                f"The client '{claims['appid']}' with object id '{claims['oid']}' does not have authorization to"
                f" perform the action '{request.method}' over scope '{request.url.path}' or the scope is invalid."
            )

    def audience_of(self, request: Request) -> str:
        """Return whom the request's token is for; `check` has found that it is good."""
        _, _, token = request.headers["authorization"].partition(" ")
        claims = jwt.decode(token, self._key.public_key(), algorithms=["ES256"], options={"verify_aud": False})
        return str(claims["aud"])

    def routes(self) -> list[Route]:
        """Return the pages that MSAL asks for. `{tenant}` is checked where it matters: when a token is asked for."""
        return [
            Route("/{tenant}/v2.0/.well-known/openid-configuration", self._configuration, methods=["GET"]),
            Route("/{tenant}/discovery/v2.0/keys", self._keys, methods=["GET"]),
            Route("/{tenant}/oauth2/v2.0/token", self._token, methods=["POST"]),
        ]

    async def _configuration(self, request: Request) -> Response:
        tenant = request.path_params["tenant"]
        here = f"{self.base_url}/{tenant}"
        return JSONResponse(
            {
                "issuer": f"{here}/v2.0",
                "token_endpoint": f"{here}/oauth2/v2.0/token",
                "authorization_endpoint": f"{here}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{here}/oauth2/v2.0/devicecode",
                "jwks_uri": f"{here}/discovery/v2.0/keys",
                "response_types_supported": ["code", "id_token", "token"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            }
        )

    async def _keys(self, _request: Request) -> Response:
        return JSONResponse(self.public_keys)

    async def _token(self, request: Request) -> Response:
        form = dict(urllib.parse.parse_qsl((await content(request, _MAX_FORM_BYTES)).decode(errors="replace")))
        if request.path_params["tenant"] != self.tenant_id:
            return _refused("invalid_request", f"AADSTS90002: Tenant '{request.path_params['tenant']}' not found.")
        if form.get("grant_type") != "client_credentials":
            return _refused(
                "unsupported_grant_type", "AADSTS70003: Only client_credentials is supported by local Azure."
            )
        if form.get("client_id") != self.client_id:
            return _refused(
                "unauthorized_client", f"AADSTS700016: Application '{form.get('client_id')}' was not found."
            )
        if not secrets.compare_digest(form.get("client_secret", "").encode(), self._client_secret.encode()):
            return _refused("invalid_client", "AADSTS7000215: Invalid client secret provided.", status=401)
        audience = form.get("scope", "").removesuffix("/.default")
        return JSONResponse(
            {
                "token_type": "Bearer",
                "expires_in": self.token_life_s,
                "ext_expires_in": self.token_life_s,
                "access_token": self.issue(audience),
            }
        )


def new_key() -> str:
    """Return a private key for signing tokens, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


_DER, _PUBLIC = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo


def _private_key(pem: str) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("tokens are signed by elliptic curve keys only")
    return key


def _refused(error: str, description: str, status: int = 400) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status)
