"""Times and timespans, as Azure Monitor reads and writes them."""

import datetime
import urllib.parse

from localazure.arm.durations import duration_s
from localazure.arm.errors import BadRequest
from localazure.monitor.traffic import utc_now

MINUTE = datetime.timedelta(minutes=1)
MAX_MINUTES = 24 * 60


def span(text: str | None) -> tuple[datetime.datetime, datetime.datetime]:
    """Return `start/end`, the last hour where none is given.

    Raises:
        BadRequest: It is not a timespan of at most a day.
    """
    if not text:
        return utc_now() - 60 * MINUTE, utc_now()
    try:
        first, _, second = urllib.parse.unquote(text).partition("/")  # azure-cli encodes it twice
        if second.startswith("P"):
            start = moment(first)
            end = start + datetime.timedelta(seconds=duration_s(second))
        elif not second:
            end = utc_now()
            start = end - datetime.timedelta(seconds=duration_s(first))
        else:
            start, end = moment(first), moment(second)
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"The timespan {text!r} is not valid: {error}") from error
    if not datetime.timedelta(0) < end - start <= MAX_MINUTES * MINUTE:
        raise BadRequest(f"The timespan {text!r} must be positive and at most a day.")
    return start, end


def moment(text: str) -> datetime.datetime:
    """Return an ISO 8601 time; UTC where it does not say.

    Raises:
        ValueError: It is not one.
    """
    found = datetime.datetime.fromisoformat(text.strip().replace(" ", "+"))
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def iso(when: datetime.datetime) -> str:
    """Return the time as Azure Monitor writes it."""
    return when.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
