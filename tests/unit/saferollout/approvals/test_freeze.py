"""Freeze windows: when they hold, to the minute, in their own time zone, and when they are over."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from saferollout.approvals.freeze import check_windows, freeze_at, next_freeze
from saferollout.config import project
from saferollout.config.freeze import FreezeWindow
from saferollout.domain.errors import ConfigError

WEEKEND = {"days": ["fri"], "from": "15:00", "to": "24:00", "timezone": "Europe/Berlin"}
FREE = datetime(2026, 6, 1, 12, tzinfo=UTC)


def windows(*found: dict[str, Any]) -> list[FreezeWindow]:
    """The windows of a config."""
    return [FreezeWindow.model_validate(window) for window in found]


def utc(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "last_free", "until"),
    [
        (WEEKEND, "2026-07-03T12:59:59", "2026-07-03T22:00"),  # summer time
        (WEEKEND, "2026-01-02T13:59:59", "2026-01-02T23:00"),  # winter time
        ({"days": ["sat", "sun"]}, "2026-07-03T23:59:59", "2026-07-06T00:00"),  # two days in a row are one freeze
        ({"days": ["fri"], "from": "22:00", "to": "06:00"}, "2026-07-03T21:59:59", "2026-07-04T06:00"),
        ({"from": "22:00", "to": "06:00"}, "2026-07-01T21:59:59", "2026-07-02T06:00"),  # every day
        ({"holidays": "DE", "timezone": "Europe/Berlin"}, "2026-10-02T21:59:59", "2026-10-03T22:00"),
        ({"holidays": "DE-BY"}, "2026-10-31T23:59:59", "2026-11-02T00:00"),  # All Saints' Day
        ({"from": "2026-12-20", "to": "2027-01-02"}, "2026-12-19T23:59:59", "2027-01-03T00:00"),
        (
            {"from": "2026-11-27T08:00", "to": "2026-11-30T08:30", "timezone": "America/New_York"},
            "2026-11-27T12:59:59",
            "2026-11-30T13:30",
        ),
        # the night in which clocks go forward: 02:30 does not exist, and the window still ends
        ({"days": ["sun"], "to": "02:30", "timezone": "Europe/Berlin"}, "2026-03-28T22:59:59", "2026-03-29T01:30"),
    ],
    ids=str,
)
def test_a_window_holds_from_its_begin_to_its_end(window: dict[str, Any], last_free: str, until: str) -> None:
    """A second before it nothing is frozen, a second later all is, up to its end."""
    found = windows(window)
    before = utc(last_free)

    assert freeze_at(found, before) is None
    freeze = freeze_at(found, before + timedelta(seconds=1))

    assert freeze is not None
    assert freeze.until == utc(until)
    assert (last := freeze_at(found, utc(until) - timedelta(seconds=1))) is not None
    assert last.until == utc(until)
    assert freeze_at(found, utc(until)) is None
    assert next_freeze(found, before) == freeze


def test_windows_that_meet_are_one_freeze() -> None:
    """A rollout that waits for the end of one window is not let go into the next one."""
    found = windows(
        {"days": ["fri"], "from": "15:00"}, {"days": ["sat", "sun"]}, {"from": "2026-07-05T20:00", "to": "2026-07-07"}
    )

    freeze = freeze_at(found, utc("2026-07-03T16:00"))

    assert freeze is not None
    assert (freeze.since, freeze.until) == (utc("2026-07-03T15:00"), utc("2026-07-08T00:00"))
    assert str(freeze) == "frozen until 2026-07-08 00:00:00 UTC (fri from 15:00 UTC)"


def test_no_window_no_freeze() -> None:
    """Without windows nothing is ever frozen, nor by one that is past."""
    assert freeze_at([], FREE) is None
    assert next_freeze(windows({"from": "2020-01-01", "to": "2020-01-02"}), FREE) is None


def test_windows_without_a_gap_are_refused() -> None:
    """A freeze that never ends would leave a rollout for ever."""
    found = windows({"days": ["mon", "tue", "wed", "thu"]}, {"days": ["fri", "sat", "sun"]})

    with pytest.raises(ValueError, match="no free moment"):
        freeze_at(found, FREE)


@pytest.mark.parametrize(
    ("window", "problem"),
    [
        ({}, "says no time"),
        ({"timezone": "UTC"}, "says no time"),
        ({"days": ["fri"], "holidays": "DE"}, "make two windows"),
        ({"from": "15:00", "to": "2026-12-20"}, "from a time of day to a date"),
        ({"from": "2026-12-20"}, "one date alone"),
        ({"days": ["mon"], "from": "2026-12-20", "to": "2026-12-21"}, "dates with days"),
        ({"from": "2026-12-20", "to": "2026-12-19"}, "ends before it begins"),
        ({"from": "24:00"}, "begins at 24:00"),
        ({"from": "25:00"}, "neither a time of day nor a date"),
        ({"from": "3pm"}, "neither a time of day nor a date"),
        ({"from": "2026-12-20T10:00+01:00", "to": "2026-12-21"}, "neither a time of day nor a date"),
        ({"days": ["friday"]}, "mon"),
        ({"holidays": "XX"}, "no known holidays"),
        ({"holidays": "DE-ZZ"}, "no known holidays"),
        ({"holidays": "Germany"}, "no known holidays"),
        ({"days": ["fri"], "timezone": "Mars/Olympus"}, "not a time zone"),
        ({"days": ["fri"], "timezone": "Europe"}, "not a time zone"),
        ({"days": ["fri"], "timezone": "../etc/passwd"}, "not a time zone"),
    ],
    ids=str,
)
def test_a_mistaken_window_is_refused(window: dict[str, Any], problem: str) -> None:
    """Each says what is wrong."""
    with pytest.raises(ValidationError, match=problem):
        FreezeWindow.model_validate(window)


def test_a_window_survives_being_kept() -> None:
    """A run keeps its config as JSON and reads it back."""
    (window,) = windows(WEEKEND)

    assert FreezeWindow.model_validate_json(window.model_dump_json()) == window


def test_a_config_without_a_free_moment_is_refused_with_its_line(project_files: Path) -> None:
    """Before anything is called."""
    config = project_files / "rollout.yaml"
    config.write_text(config.read_text() + "freeze:\n- {from: 00:00}\n")
    found = project.load(config)

    with pytest.raises(ConfigError) as caught:
        check_windows(found, FREE)

    expected = "rollout.yaml: line 3, column 1: freeze: the windows leave no free moment for a year; "
    assert str(caught.value) == expected + "make one of them shorter"


def test_a_run_keeps_the_name_of_an_address_and_not_its_value(
    project_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Prefect keeps of a run shows no secret."""
    monkeypatch.setenv("TEAM_CHAT", "slack://a-secret")
    config = project_files / "rollout.yaml"
    config.write_text(config.read_text() + "notify:\n  urls: ['${TEAM_CHAT}', 'secret:team']\n")

    kept = project.load(config).model_dump_json()

    assert "a-secret" not in kept
    assert "${TEAM_CHAT}" in kept
