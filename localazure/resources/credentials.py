"""Who may score at an endpoint: its keys, and the tokens that it takes."""

import secrets
from typing import Any

from localazure.arm.errors import BadRequest
from localazure.resources.endpoint_documents import AuthMode, Endpoint, KeysBody

AUTH_MODES: dict[str, AuthMode] = {"key": "Key", "amltoken": "AMLToken", "aadtoken": "AADToken"}

AAD_AUDIENCE = "https://ml.azure.com"
"""Whom a token of Microsoft Entra must be for."""
TOKEN_LIFE_S = 24 * 3600
TOKEN_REFRESH_S = 12 * 3600
"""How long before its end a token should be renewed."""

_KEY_CHARACTERS = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")


def audience(endpoint: Endpoint) -> str:
    """Return whom a token must be for: the service as a whole, or this endpoint alone."""
    return AAD_AUDIENCE if endpoint.properties.auth_mode == "AADToken" else endpoint.id


def require_mode(endpoint: Endpoint, mode: AuthMode, otherwise: str) -> None:
    """Check that the endpoint has the auth mode.

    Raises:
        BadRequest: It has another; `otherwise` says what that means.
    """
    found = endpoint.properties.auth_mode
    if found != mode:
        raise BadRequest(f"The endpoint's authMode is {found}: {otherwise}.")


def auth_mode(given: Any) -> AuthMode:
    """Return the auth mode that a client asks for, whatever its case.

    Raises:
        BadRequest: There is no such mode.
    """
    found = AUTH_MODES.get(str(given).lower())
    if found is None:
        raise BadRequest(f"authMode must be one of {', '.join(AUTH_MODES.values())}, not {given!r}.")
    return found


def first_keys(given: KeysBody | None) -> list[str]:
    """Return those that the client chose for a new endpoint, else random ones.

    Raises:
        BadRequest: As `checked_key`.
    """
    chosen = (given.primary_key, given.secondary_key) if given else (None, None)
    return [checked_key(key) if key else new_key() for key in chosen]


def checked_key(key: Any) -> str:
    """Return the key, which a client chose.

    Raises:
        BadRequest: It has other characters than letters and digits.
    """
    if not isinstance(key, str) or not set(key) <= _KEY_CHARACTERS:
        raise BadRequest("A key can have letters and digits only.")
    return key


def new_key() -> str:
    """Return a random key."""
    return "".join(secrets.choice(sorted(_KEY_CHARACTERS)) for _ in range(64))
