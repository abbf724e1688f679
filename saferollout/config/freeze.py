"""Freeze windows: when no candidate gets more traffic, as the config says it."""

import re
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from saferollout.config.section import Section

CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00")
COUNTRY = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")
MIDNIGHT = "24:00"


class Day(StrEnum):
    """A day of the week."""

    MONDAY = "mon"
    TUESDAY = "tue"
    WEDNESDAY = "wed"
    THURSDAY = "thu"
    FRIDAY = "fri"
    SATURDAY = "sat"
    SUNDAY = "sun"

    @property
    def number(self) -> int:
        """As `date.weekday` counts: Monday is 0."""
        return list(Day).index(self)


def _text(value: Any) -> Any:
    """What YAML takes for a date, as it was written."""
    return value.isoformat() if isinstance(value, date) else value


def _edge(value: str) -> str:
    """Check a window's begin or end.

    Raises:
        ValueError: It is neither a time of day nor a date; the message is "problem; remedy".
    """
    if CLOCK.fullmatch(value):
        return value
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo or not re.match(r"\d{4}-\d\d-\d\d", value):
        msg = f"{value[:40]!r} is neither a time of day nor a date; write HH:MM, YYYY-MM-DD or YYYY-MM-DDTHH:MM"
        raise ValueError(msg)
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (OSError, ValueError, LookupError):  # the last one where there is no such zone, the first for a folder
        msg = f"{value[:40]!r} is not a time zone; write one such as Europe/Berlin or UTC"
        raise ValueError(msg) from None
    return value


def _country(value: str) -> str:
    import holidays  # takes a moment: only for those who use it

    msg = f"{value[:40]!r} has no known holidays; write a country such as DE, or with its part, such as DE-BY"
    country, _, part = value.partition("-")
    if not COUNTRY.fullmatch(value):
        raise ValueError(msg)
    try:
        holidays.country_holidays(country, subdiv=part or None)
    except NotImplementedError:
        raise ValueError(msg) from None
    return value


Edge = Annotated[str, BeforeValidator(_text), AfterValidator(_edge)]


class FreezeWindow(Section):
    """A time in which no candidate gets more traffic: days of the week, a country's holidays, or from date to date."""

    model_config = ConfigDict(serialize_by_alias=True)

    days: tuple[Day, ...] = Field(
        (),
        description=(
            "The days of the week that are frozen, mon to sun: the whole day, or the part of it between the times of "
            "day in `from` and `to`."
        ),
    )
    from_: Edge | None = Field(
        None,
        alias="from",
        description="When the window begins: a time of day (HH:MM), a date, or both (YYYY-MM-DDTHH:MM).",
    )
    to: Edge | None = Field(
        None,
        description=(
            "When the window ends, written like `from`. A date includes that whole day; a time of day that is not "
            "later than `from` is on the next day."
        ),
    )
    holidays: Annotated[str, AfterValidator(_country)] | None = Field(
        None, description="A country whose public holidays are frozen, such as DE, or a part of it, such as DE-BY."
    )
    timezone: Annotated[str, AfterValidator(_zone)] = Field(
        "UTC", description="The time zone in which days and times are meant, such as Europe/Berlin."
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        edges = [edge for edge in (self.from_, self.to) if edge]
        are_clocks = {bool(CLOCK.fullmatch(edge)) for edge in edges}
        msg = ""
        if self.holidays and (self.days or edges):
            msg = "has holidays and other times; make two windows of it"
        elif are_clocks == {True, False}:
            msg = "goes from a time of day to a date, or back; write two times of day or two dates"
        elif are_clocks == {False} and (self.days or len(edges) < 2):
            msg = "has dates with days, or one date alone; write from and to, and no days"
        elif are_clocks == {False} and self.last <= self.first:
            msg = f"ends before it begins; write a `to` after {self.from_}"
        elif not (self.holidays or self.days or edges):
            msg = "says no time; write days, holidays, or from and to"
        elif self.from_ == MIDNIGHT:
            msg = "begins at 24:00; write from: 00:00 and the next day"
        if msg:
            raise ValueError(msg)
        return self

    @property
    def is_once(self) -> bool:
        """Whether it goes from one date to another."""
        return self.from_ is not None and CLOCK.fullmatch(self.from_) is None

    @property
    def zone(self) -> ZoneInfo:
        """The time zone that the window's times are in."""
        return ZoneInfo(self.timezone)

    @property
    def first(self) -> datetime:
        """When a window of dates begins, in its time zone but without it."""
        return datetime.fromisoformat(self.from_ or "")

    @property
    def last(self) -> datetime:
        """When a window of dates ends; a date alone counts with its whole day."""
        to = self.to or ""
        return datetime.fromisoformat(to) + timedelta(days=len(to) == len("2026-12-31"))

    def __str__(self) -> str:
        """The window as the config says it, in one line."""
        what = f"holidays of {self.holidays}" if self.holidays else ""
        days = ", ".join(self.days)
        edges = " ".join(f"{name} {edge}" for name, edge in (("from", self.from_), ("to", self.to)) if edge)
        return " ".join(filter(None, (what, days, edges, self.timezone)))
