"""YAML that is written is read alike by the SDK's reader, of YAML 1.1, and by ours, of 1.2."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from saferollout.config import bounded_yaml, yaml_text

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
LIKE_OTHERS = st.sampled_from(
    [
        "yes",
        "No",
        "ON",
        "y",
        "null",
        "~",
        "007",
        "1e3",
        "0o7",
        "1_000",
        "12:30:45",
        "2024-01-01",
        ".5",
        "<<",
        "=",
        "a: b",
    ]
)
VALUES = st.recursive(
    TEXTS | LIKE_OTHERS | st.integers(-(10**9), 10**9) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | LIKE_OTHERS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXTS | LIKE_OTHERS, VALUES, max_size=5))
def test_both_readers_read_what_was_written(content: dict[str, Any]) -> None:
    """Whatever text looks like: a tag `yes` stays a text, as does a variable `007`."""
    text = yaml_text.dump(content)

    assert yaml.safe_load(text) == content
    assert bounded_yaml.load(text) == content


@pytest.mark.parametrize("value", ["two\nlines", "tab\there", "\x07", 'a "quoted" # one'])
def test_other_characters_are_kept(value: str) -> None:
    """In quotes, on one line; a comment is one line, too."""
    text = yaml_text.dump({"key": value}, "a comment\nof two lines")

    assert text.startswith("# a comment of two lines\nkey: ")
    assert (yaml.safe_load(text), bounded_yaml.load(text)) == ({"key": value}, {"key": value})
