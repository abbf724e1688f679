"""Where local Azure keeps what outlives it, unless it is given another place."""

import os
from collections.abc import Callable
from pathlib import Path

from platformdirs import user_cache_path, user_state_path

NAME = "localazure"


class NoHome(OSError):
    """The user has no home directory; the message says what to set instead.

    Not a LocalAzureError: the tree of those is in a room above this one.
    """


def cache_directory() -> Path:
    """`$LOCALAZURE_CACHE_DIR`, or the user's cache directory (`$XDG_CACHE_HOME`).

    Raises:
        NoHome: There is none, for the user has no home.
    """
    if chosen := os.environ.get("LOCALAZURE_CACHE_DIR"):
        return Path(chosen)
    return _of_user(user_cache_path, "set LOCALAZURE_CACHE_DIR")


def state_directory() -> Path:
    """The user's state directory (`$XDG_STATE_HOME`).

    Raises:
        NoHome: There is none, for the user has no home.
    """
    return _of_user(user_state_path, "give --state-dir")


def _of_user(find: Callable[[str], Path], remedy: str) -> Path:
    try:
        return find(NAME)
    except RuntimeError:
        raise NoHome(f"user {os.getuid()} has no home directory: {remedy}, or set HOME") from None
