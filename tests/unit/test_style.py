"""Rules of the style that no linter holds."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCES = sorted(path for path in REPOSITORY.glob("[!.]*/**/*.py") if path.relative_to(REPOSITORY).parts[0] != "build")
IGNORE = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma)\b(?P<rest>.*)", re.IGNORECASE)
"""A comment that switches a rule off."""
REASONED = re.compile(r":? ?(?:\[[\w-]+(?:, ?[\w-]+)*\]|[A-Z]+[0-9]+(?:, ?[A-Z]+[0-9]+)*) +(?:#|-{1,2}) +\S.*")
"""The rules' codes, and why."""


@pytest.mark.parametrize(
    ("comment", "has_reason"),
    [
        ("# noqa: S603 - our own command", True),
        ("# noqa: S105, S106  # no password", True),
        ("# type: ignore[import-untyped] # it ships no types", True),
        ("# noqa", False),
        ("# noqa: S603", False),
        ("# noqa - we know better", False),
        ("# type: ignore[misc]", False),
        ("# type: ignore # somehow", False),
    ],
)
def test_a_reason_is_recognized(comment: str, has_reason: bool) -> None:
    """It follows the codes of the rules that are switched off."""
    found = IGNORE.search(comment)
    assert found
    assert bool(REASONED.fullmatch(found["rest"])) == has_reason


def test_sources_are_found() -> None:
    """The other tests here would pass on nothing."""
    assert len(SOURCES) > 700


def test_no_file_is_long() -> None:
    """Each is about one thing; what grows beyond that is cut."""
    assert [path for path in SOURCES if len(path.read_text(encoding="utf-8").splitlines()) > 350] == []


def test_the_formatter_decides() -> None:
    """No line or block is kept from it."""
    kept_from_it = re.compile(r"#\s*" + r"fmt:\s*(?:skip|off)")
    assert [path for path in SOURCES if kept_from_it.search(path.read_text(encoding="utf-8"))] == []


def test_every_ignored_rule_has_a_reason() -> None:
    """Whoever reads the line learns why the rule does not hold there."""
    without = [
        f"{path.relative_to(REPOSITORY)}:{number}: {found[0]}"
        for path in SOURCES
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if (found := IGNORE.search(line)) and not REASONED.fullmatch(found["rest"])
    ]
    assert without == []
