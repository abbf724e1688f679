"""What the addresses of operations carry since 2025: the moment, and signatures that make them some 3.7 kB long."""

import base64
import hashlib
import secrets
import time
import urllib.parse

_KEY = secrets.token_bytes(32)
_TICKS_OF_1970 = 621_355_968_000_000_000
_CERTIFICATE_BYTES, _SIGNATURE_BYTES, _HASH_BYTES = 2300, 256, 32


def sign(identifier: str, version: str) -> str:
    """Return the query of an operation's address. Nobody checks it: what Azure does without one was never seen."""
    ticks = _TICKS_OF_1970 + time.time_ns() // 100
    seed = f"{identifier} {ticks}".encode()
    parts = {
        "api-version": version,
        "t": str(ticks),
        "c": _letters(_KEY, _CERTIFICATE_BYTES),
        "s": _letters(_KEY + seed, _SIGNATURE_BYTES),
        "h": _letters(seed, _HASH_BYTES),
    }
    return urllib.parse.urlencode(parts)


def _letters(seed: bytes, length: int) -> str:
    return base64.urlsafe_b64encode(hashlib.shake_256(seed).digest(length)).decode().rstrip("=")
