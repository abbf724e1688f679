"""Azure's rules for the names of endpoints and deployments."""

import re

from saferollout.domain.errors import ConfigError, Problem

_NAME = re.compile(r"[A-Za-z](?:-?[A-Za-z0-9])*")


def check_name(kind: str, name: str) -> str:
    """Return `name`.

    Raises:
        ValueError: It breaks Azure's rule; the message has the rule.
    """
    if not 3 <= len(name) <= 32 or not _NAME.fullmatch(name):
        msg = (
            f"{name[:60]!r} is not a valid {kind} name; use 3 to 32 letters, digits and single dashes, "
            "beginning with a letter and ending with a letter or digit"
        )
        raise ValueError(msg)
    return name


def check_endpoint(command: str, name: str) -> None:
    """Check the name of an endpoint that somebody gave to a command or a run.

    Raises:
        ConfigError: It breaks Azure's rule.
    """
    try:
        check_name("endpoint", name)
    except ValueError as error:
        problem, _, remedy = str(error).partition("; ")
        raise ConfigError(Problem(command, "endpoint", problem, remedy)) from None


def check_deployment_name(name: str) -> str:
    """`check_name` for a deployment."""
    return check_name("deployment", name)


def check_confirmed(endpoint: str, confirm: str) -> None:
    """Check that `confirm` repeats the endpoint's name.

    Raises:
        ConfigError: It does not.
    """
    if confirm != endpoint:
        raise ConfigError(
            Problem("teardown", "confirm", f"is {confirm!r}", f"repeat the endpoint's name, {endpoint!r}")
        )
