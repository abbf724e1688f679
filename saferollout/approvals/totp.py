"""Codes that change every 30 seconds (TOTP, RFC 6238), as authenticator apps show them."""

import hashlib
import re
from datetime import datetime

import pyotp

from saferollout.approvals.approvers import comparable_name

STEP_S = 30
SPREAD = 1
"""How many steps a person's clock may be off, either way."""
MAX_WRONG = 5
LOCK_S = 900
"""So many wrong codes in so many seconds lock an approver, for as long."""
ISSUER = "Safe Rollout"


def new_secret() -> str:
    """A secret of 160 bits in base32, as apps take it."""
    return pyotp.random_base32()


def uri(secret: str, approver: str) -> str:
    """The address that an app reads from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=approver, issuer_name=ISSUER)


def step_of(secret: str, code: str, at: datetime) -> int | None:
    """The step of time that a code given at a moment belongs to; None if it is wrong, or too old."""
    digits = "".join(code.split())
    now = int(at.timestamp()) // STEP_S
    generator = pyotp.TOTP(secret)
    found = [
        step
        for step in range(now - SPREAD, now + SPREAD + 1)
        if pyotp.utils.strings_equal(generator.generate_otp(step), digits)
    ]
    return found[0] if found else None


def short_name(approver: str) -> str:
    """A name of the approver that any store takes: words, and a digest in which no two people agree."""
    name = comparable_name(approver)
    words = re.sub(r"[^a-z0-9]+", "-", name).strip("-")[:30].strip("-")
    return "-".join(filter(None, [words, hashlib.sha256(name.encode()).hexdigest()[:8]]))


def variable_of(approver: str) -> str:
    """The environment variable that may hold the approver's secret."""
    return f"SAFEROLLOUT_TOTP_{short_name(approver).replace('-', '_').upper()}"


def block_of(approver: str) -> str:
    """The Prefect Secret block that may hold the approver's secret."""
    return f"saferollout-totp-{short_name(approver)}"
