"""Who may score at an endpoint: its keys, and the tokens that it takes."""

from __future__ import annotations

import secrets
from typing import Any

from localazure.arm.errors import bad_request
from localazure.core.store import Document

AUTH_MODES = {"key": "Key", "amltoken": "AMLToken", "aadtoken": "AADToken"}

AAD_AUDIENCE = "https://ml.azure.com"
"""Whom a token of Microsoft Entra must be for."""
TOKEN_LIFE_S = 12 * 3600

_KEY_CHARACTERS = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")


def audience(document: Document) -> str:
    """Whom a token must be for: the service as a whole, or this endpoint alone."""
    resource = document["resource"]
    return AAD_AUDIENCE if resource["properties"]["authMode"] == "AADToken" else str(resource["id"])


def require_mode(document: Document, mode: str, otherwise: str) -> None:
    """Raise ArmError (400) unless the endpoint has the auth mode; `otherwise` says what that means."""
    found = document["resource"]["properties"]["authMode"]
    if found != mode:
        raise bad_request(f"The endpoint's authMode is {found}: {otherwise}.")


def first_keys(given: dict[str, Any]) -> list[str]:
    """Those that the client chose for a new endpoint, else random ones."""
    return [checked_key(key) if (key := given.get(name)) else new_key() for name in ("primaryKey", "secondaryKey")]


def checked_key(key: Any) -> str:
    """The key, which a client chose. Raises ArmError (400)."""
    if not isinstance(key, str) or not set(key) <= _KEY_CHARACTERS:
        raise bad_request("A key can have letters and digits only.")
    return key


def new_key() -> str:
    """A random key."""
    return "".join(secrets.choice(sorted(_KEY_CHARACTERS)) for _ in range(64))
