"""What stays the same when a local Azure is started again on its state directory: ids, secrets, and ports."""

import contextlib
import json
import os
import secrets
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout
from pydantic import BaseModel, Field

from localazure.arm.errors import NotRunning, StartFailed
from localazure.arm.identity import new_key

_ENVIRONMENT_FILE = "environment.json"
_LOCK_FILE = "lock"
_IDENTITY_FILE = "identity.json"
LOCK_S = 0.5
"""How long to try for the lock, which `running_environment` holds for a moment when it looks."""


def _uuid() -> str:
    return str(uuid.uuid4())


class Installation(BaseModel):
    """The ids and secrets of one local Azure, and its ports, which it takes again where they are free."""

    subscription_id: str = Field(default_factory=_uuid)
    tenant_id: str = Field(default_factory=_uuid)
    client_id: str = Field(default_factory=_uuid)
    client_secret: str = Field(default_factory=lambda: secrets.token_hex(32))
    """It begins with no dash, by which `az login` would take it for an option."""
    storage_key: str = Field(default_factory=lambda: secrets.token_hex(32))
    admin_token: str = Field(default_factory=lambda: secrets.token_urlsafe(32))
    token_key: str = Field(default_factory=new_key)
    port: int = 0
    """Of the management plane; 0 before it has been known."""
    scoring_port: int = 0

    @classmethod
    def load(cls, state: Path) -> Self:
        """Return that of the directory `state`; what it lacks is made and kept."""
        known = {}
        with contextlib.suppress(OSError, ValueError):
            known = json.loads((state / _IDENTITY_FILE).read_text())
        installation = cls.model_validate(known)
        installation.save(state)
        return installation

    def save(self, state: Path) -> None:
        """Write the ids of this installation to its state directory."""
        _write_private(state / _IDENTITY_FILE, self.model_dump())


@contextlib.contextmanager
def locked(state: Path) -> Iterator[None]:
    """Hold the directory for this process alone during the block.

    Raises:
        StartFailed: Another local Azure holds it.
    """
    try:
        with FileLock(state / _LOCK_FILE, timeout=LOCK_S):  # it falls with its holder
            yield
    except Timeout as error:
        raise StartFailed(f"another local Azure runs on {state}: stop it, or give another --state-dir") from error


@contextlib.contextmanager
def published(state: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Let `running_environment` find the variables during the block."""
    _write_private(state / _ENVIRONMENT_FILE, environment)
    try:
        yield
    finally:
        withdraw(state)


def withdraw(state: Path) -> None:
    """Take away the variables that are there, if there are any: those of a process that was killed."""
    (state / _ENVIRONMENT_FILE).unlink(missing_ok=True)


def running_environment(state: Path) -> dict[str, str]:
    """Return the variables of the local Azure that runs on `state`.

    Raises:
        NotRunning: None does, or it is still starting.
    """
    try:
        if (state / _LOCK_FILE).exists():
            with FileLock(state / _LOCK_FILE, timeout=0):
                pass
    except Timeout:
        with contextlib.suppress(OSError, ValueError):
            environment: dict[str, str] = json.loads((state / _ENVIRONMENT_FILE).read_text())
            return environment
        raise NotRunning(f"the local Azure on {state} is still starting") from None
    except OSError:
        pass
    raise NotRunning(f"no local Azure runs on {state}: start one with 'localazure up --state-dir {state}'")


def _write_private(path: Path, content: Mapping[str, object]) -> None:
    temporary = path.with_suffix(".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file)
    temporary.replace(path)
