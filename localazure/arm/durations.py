"""Durations, as clients write them."""

import datetime

import isodate  # type: ignore[import-untyped] # it ships no types

from localazure.arm.errors import BadRequest


def duration_s(text: object) -> float:
    """Return the seconds of an ISO 8601 duration of weeks and less, such as PT5S or P1DT2H.

    Raises:
        BadRequest: It is not a duration, is negative, or has months or years, whose lengths differ.
    """
    if not isinstance(text, str):
        raise BadRequest(f"'{text}' is not an ISO 8601 duration.")
    try:
        found = isodate.parse_duration(text)
    except (isodate.ISO8601Error, OverflowError) as error:
        raise BadRequest(f"'{text}' is not an ISO 8601 duration.") from error
    empty = text.endswith(("T", "\n"))  # isodate takes both
    if empty or not isinstance(found, datetime.timedelta) or found < datetime.timedelta(0):
        raise BadRequest(f"'{text}' is not an ISO 8601 duration.")
    return found.total_seconds()
