"""Messages: where they go and about what, as the config says it; what is secret in it has a name there, no value."""

import os
import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from saferollout.config.section import Section

SECTION = "notify"
NAMED_SECRET = re.compile(r"\$\{(?P<variable>[A-Za-z_]\w*)\}|secret:(?P<block>[a-z0-9]+(-[a-z0-9]+)*)")
REMEDY = "write ${NAME} of an environment variable that holds the address, or secret:<name> of a Prefect Secret block"


class Event(StrEnum):
    """What messages report about a rollout."""

    WAITING = "waiting"
    """It asks for an approval."""
    ANSWERED = "answered"
    """A person, or `auto`, has answered."""
    REMINDER = "reminder"
    """Its question is about to expire."""
    CLOSED = "closed"
    """The guard has rolled it back, for harm or since its process was gone: its question can no longer be answered."""
    ENDED = "ended"
    """It is promoted, rolled back, or could not be rolled back."""


def _name(value: Any) -> Any:
    """Check that an address is named and not given; what is given may be a secret, so it is never repeated.

    Raises:
        ValueError: It is not named; the message is "problem; remedy".
    """
    if not isinstance(value, str) or not NAMED_SECRET.fullmatch(value):
        msg = f"addresses are secrets and may not be given here; {REMEDY}"
        raise ValueError(msg)
    return value


def unset_variables(notify: "NotifyConfig | None") -> list[str]:
    """The variables that the config names and this environment does not have: those of the worker count."""
    names = [found["variable"] for url in (notify.urls if notify else ()) if (found := NAMED_SECRET.fullmatch(url))]
    return [name for name in names if name and not os.environ.get(name)]


def _some(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        msg = f"is empty; {REMEDY}"
        raise ValueError(msg)
    return value


class NotifyConfig(Section):
    """Messages to Slack, Teams, Discord, e-mail, webhooks and others that Apprise knows."""

    urls: Annotated[tuple[Annotated[str, BeforeValidator(_name)], ...], AfterValidator(_some)] = Field(
        description=(
            "Apprise addresses by name: `${NAME}` of an environment variable on the worker, or `secret:<name>` of a "
            "Prefect Secret block; never the address itself."
        ),
    )
    events: tuple[Event, ...] = Field(tuple(Event), description="Which events messages report; default: all.")
    reminder_s: float = Field(
        3600, gt=0, description="How long before a question expires a reminder is sent, in seconds."
    )
