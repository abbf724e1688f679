"""Freeze: whether a moment lies in one of the config's windows, and when it is over."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from saferollout.config import yaml_file
from saferollout.config.freeze import MIDNIGHT, FreezeWindow
from saferollout.config.project import Project
from saferollout.domain.endpoint import Value
from saferollout.domain.errors import ConfigError, Problem
from saferollout.domain.words import clock

DAY = timedelta(days=1)
LONGEST = timedelta(days=366)
"""A freeze that is longer counts as one without end."""
AHEAD = timedelta(days=366)
"""How far a next window is looked for."""


class Freeze(Value):
    """A time without a shift."""

    since: datetime
    """When the window begins that held first."""
    until: datetime
    """When the last one ends of all that follow it without a gap."""
    why: str
    """The window that holds at its begin, as the config says it."""

    def __str__(self) -> str:
        return f"frozen until {clock(self.until)} ({self.why})"


def freeze_at(windows: Sequence[FreezeWindow], moment: datetime) -> Freeze | None:
    """The freeze that this moment lies in, with its true end: another window may begin where one ends; None if free.

    Raises:
        ValueError: It has no end.
    """
    found: Freeze | None = None
    until = moment
    while until - moment <= LONGEST:
        held = [span for window in windows for span in _spans(window, until, until) if span.since <= until < span.until]
        if not held:
            return found
        longest = max(held, key=lambda span: span.until)
        until = longest.until
        found = (found or longest).model_copy(update={"until": until})
    msg = "the windows leave no free moment for a year; make one of them shorter"
    raise ValueError(msg)


def next_freeze(windows: Sequence[FreezeWindow], moment: datetime) -> Freeze | None:
    """The freeze at this moment, or else the first one that begins within a year; None if there is none.

    Raises:
        ValueError: It has no end.
    """
    if held := freeze_at(windows, moment):
        return held
    ahead = [span for window in windows for span in _spans(window, moment, moment + AHEAD) if span.since > moment]
    return freeze_at(windows, min(span.since for span in ahead)) if ahead else None


def check_windows(project: Project, moment: datetime) -> None:
    """Check that the windows of a config end, as seen from this moment.

    Raises:
        ConfigError: They do not.
    """
    try:
        freeze_at(project.config.freeze, moment)
    except ValueError as error:
        problem, _, remedy = str(error).partition("; ")
        file = yaml_file.display_path(project.config_path)
        raise ConfigError(*yaml_file.with_lines([Problem(file, "freeze", problem, remedy)])) from None


def _spans(window: FreezeWindow, since: datetime, until: datetime) -> list[Freeze]:
    """When the window holds between two moments, and a little around them, in UTC."""
    zone = window.zone
    if window.is_once:
        return [_span(window, window.first, window.last)]
    first, last = since.astimezone(zone).date() - 2 * DAY, until.astimezone(zone).date() + DAY
    begin, end = window.from_ or "00:00", window.to or MIDNIGHT
    later = DAY if end == MIDNIGHT or end <= begin else 0 * DAY
    end = "00:00" if end == MIDNIGHT else end
    return [_span(window, _local(day, begin), _local(day + later, end)) for day in _days(window, first, last)]


def _days(window: FreezeWindow, first: date, last: date) -> list[date]:
    """The local days from the first to the last on which the window begins."""
    days = [first + number * DAY for number in range((last - first).days + 1)]
    if window.holidays is None:
        numbers = {day.number for day in window.days} or set(range(7))
        return [day for day in days if day.weekday() in numbers]
    import holidays  # takes a moment: only for those who use it

    country, _, part = window.holidays.partition("-")
    free = holidays.country_holidays(country, subdiv=part or None, years=range(first.year, last.year + 1))
    return [day for day in days if day in free]


def _local(day: date, at: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(at))


def _span(window: FreezeWindow, first: datetime, last: datetime) -> Freeze:
    since, until = (moment.replace(tzinfo=window.zone).astimezone(UTC) for moment in (first, last))
    return Freeze(since=since, until=until, why=str(window))
