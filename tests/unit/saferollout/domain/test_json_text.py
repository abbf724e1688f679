"""JSON text within JSON, as scripts send it that return `json.dumps(…)`."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saferollout.domain.json_text import comparable, read_json_text

CONTAINERS = st.lists(st.integers() | st.text(max_size=3), max_size=3) | st.dictionaries(st.text(), st.integers())


@pytest.mark.parametrize(
    "value", ["3", '"3"', "spam", "", "null", "true", "[1] says the paper", "{", 3, None, [1], "NaN"]
)
def test_what_holds_no_object_or_list_stays_as_it_is(value: Any) -> None:
    """A label that looks like a number is a label."""
    assert read_json_text(value) is value


@given(CONTAINERS)
def test_an_object_or_list_is_read_whether_encoded_once_or_twice(value: Any) -> None:
    """`json.dumps(frame.to_json())` is encoded twice before the server encodes it."""
    assert read_json_text(value) == read_json_text(json.dumps(value)) == read_json_text(json.dumps(json.dumps(value)))


def test_json_text_is_read_wherever_it_stands_to_compare() -> None:
    """`{"result": frame.to_json()}`: a part of the answer is JSON text; keys to ignore are left out within it, too."""
    answer = {"result": '[{"label": "a", "id": 7}]', "id": 8, "text": "7"}

    assert comparable(answer) == {"result": [{"label": "a", "id": 7}], "id": 8, "text": "7"}
    assert comparable(answer, ("id",)) == {"result": [{"label": "a"}], "text": "7"}
