"""Secrets that a worker has: signing keys and approvers' secrets, from its environment or from Prefect's blocks."""

import os
from typing import Any

from prefect.blocks.system import Secret

from saferollout.approvals import totp
from saferollout.approvals.keys import PAGE_KEY, Keyring, from_environment

SIGNING_KEY = "saferollout-signing-key"


async def load_keys() -> Keyring:
    """The keys of this process; an empty ring if none are configured.

    Raises:
        ConfigError: They are there, and cannot be read.
    """
    if (keys := from_environment(os.environ)) is not None:
        return keys
    text = await _read_secret(SIGNING_KEY)
    return Keyring() if text is None else Keyring.read(text, f"Secret block {SIGNING_KEY}")


def load_page_keys() -> Keyring:
    """The keys of the approvals page, from the environment alone: whoever may write a block could put theirs there.

    Raises:
        ConfigError: They are there, and cannot be read.
    """
    return from_environment(os.environ, PAGE_KEY) or Keyring()


async def totp_secret(approver: str) -> str | None:
    """The secret of an approver's codes; None if the approver is not enrolled."""
    return os.environ.get(totp.variable_of(approver)) or await _read_secret(totp.block_of(approver))


async def _read_secret(name: str) -> str | None:
    try:
        block: Any = await Secret.aload(name, validate=False)
    except ValueError as error:
        if "Unable to find block document" not in str(error):
            raise
        return None
    return str(block.get())
