"""Which answers with status 200 are errors: what breaks the shape that live's answers have taught; what may vary."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saferollout.gates.answer_shape import AnswerCheck, says_error

ONE_ROW = {"data": [[1, 2, 3]]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def taught(*live: Any, request: Any = ONE_ROW, schema: dict[str, Any] | None = None) -> AnswerCheck:
    """A check that has seen these live answers."""
    check = AnswerCheck(schema, enough=len(live))
    for answer in live:
        check.learn(request, [answer])
    return check


@pytest.mark.parametrize(
    ("live", "answer", "problem"),
    [
        ([[1.5]], "could not convert string to float", "text instead of list"),
        ([{"predictions": [1]}], {"error": "no such column"}, "an error with status 200"),
        ([{"predictions": [1]}], {"Errors": [{"code": 1}], "predictions": []}, "an error with status 200"),
        ([{"status": "success", "y": 1}], {"status": "failed", "y": 0}, "an error with status 200"),
        ([{"predictions": [1]}], {"message": "no such column"}, "no 'predictions'"),
        ([{"predictions": [1]}], None, "null instead of object"),
        ([{"predictions": [1]}], {"predictions": None}, "null in 'predictions' instead of list"),
        ([{"predictions": [1]}], {"predictions": ["1"]}, "text in 'predictions.*' instead of number"),
        ([{"predictions": [1]}], {"predictions": []}, "a list of 0 in 'predictions' instead of 1"),
        ([[{"label": "a", "score": 1}]], [{"label": "a"}], "no 'score' in '*'"),
        ([{"y": 1}], {"y": 1, "z": 2}, "'z', which live answers do not have"),
        ([True], 1, "number instead of yes/no"),
        (["a"], [404, "no such column"], "list instead of text"),
    ],
)
def test_what_live_never_does_is_an_error(live: list[Any], answer: Any, problem: str) -> None:
    """What scripts return instead of raising: the exception's text, an object with an error, nothing."""
    assert taught(*live * 3).problem(ONE_ROW, answer, [live[0]]) == problem
    assert taught(*live * 3).problem(ONE_ROW, answer, []) == problem


@pytest.mark.parametrize(
    ("live", "answer"),
    [
        ([[1.5]], [2]),
        ([[1.5]], [float("nan")]),
        ([{"boxes": []}, {"boxes": [{"x": 1}]}], {"boxes": [{"x": 1}, {"x": 2}, {"x": 3}]}),
        ([{"boxes": []}], {"boxes": [{"x": 1}]}),
        ([{"y": 1}, {"y": 2, "why": "x"}], {"y": 1, "why": "x"}),
        ([*[{"y": 2, "why": "x"}] * 9, {"y": 1}], {"y": 1}),
        ([{"a": 0.9, "b": 0.1}, {"a": 0.9, "c": 0.1}], {"d": 0.8, "a": 0.2}),
        ([{"y": 1}, {"y": None}], {"y": None}),
        ([{"y": None}], {"y": 3}),
        ([{"y": 1, "error": 0.1}], {"y": 1, "error": 0.2}),
        ([{"y": 1, "error": None}, {"y": 1, "error": ""}], {"y": 2, "error": None}),
        ([{"label": "a", "model_version": "1", "at": "9:30"}], {"label": "a", "model_version": "2", "at": "9:31"}),
    ],
)
def test_where_live_varies_others_may_vary(live: list[Any], answer: Any) -> None:
    """Lengths, optional keys, null, kinds of number: what live shows at other requests is not an error at this one."""
    assert taught(*live).problem(ONE_ROW, answer, [live[0]]) == ""


def test_a_list_with_an_item_for_each_row_has_as_many_as_the_request() -> None:
    """Live answers one number a row: fewer are an error, though the lengths of its answers vary."""
    check = AnswerCheck()
    for rows in (1, 2, 3):
        check.learn({"data": [[0, 0]] * rows}, [{"y": [1.0] * rows}])

    request, live = {"data": [[0, 0]] * 4}, {"y": [1.0] * 4}
    assert check.problem(request, {"y": [1.0] * 4}, [live]) == ""
    assert check.problem(request, {"y": [1.0]}, [live]) == "a list of 1 in 'y' instead of as many as the request"


def test_errors_of_live_are_no_excuse_for_more_of_them() -> None:
    """A candidate that fails at other requests than live is in error there.

    So is live where it fails and the candidate does not; where both fail, neither is.
    """
    for error in ("boom", {"error": "boom"}, {"message": "boom"}):
        check = taught(*[{"y": 1}] * 9, error)

        assert check.problem(ONE_ROW, error, [{"y": 1}]) != ""
        assert check.problem(ONE_ROW, {"y": 1}, [error]) == ""
        assert check.problem(ONE_ROW, error, [error]) == ""


def test_a_schema_takes_the_place_of_the_shape() -> None:
    """The schema says what an answer is, whatever live answers, and from the first answer on."""
    check = taught(schema={"type": "object", "required": ["y"]})

    assert check.is_ready
    assert check.problem(ONE_ROW, {"y": 1, "error": "a warning"}, [[1]]) == ""
    assert check.problem(ONE_ROW, {"error": "boom"}, [{"error": "boom"}]) == "'y' is a required property"


@given(st.lists(JSON, min_size=1, max_size=6), JSON)
def test_the_same_answer_as_live_is_no_error(live: list[Any], answer: Any) -> None:
    """Whatever was learned: an answer that is the live one's equal to the same request is as good as that."""
    check = taught(*live)

    assert check.problem(ONE_ROW, copy.deepcopy(answer), [answer]) == ""


@given(st.lists(JSON.filter(lambda value: not says_error(value)), min_size=1, max_size=5))
def test_an_answer_is_no_error_where_live_gives_no_other(live: list[Any]) -> None:
    """One live answer learned and nothing beside it: the same one again has its shape."""
    assert taught(live[0]).problem(ONE_ROW, copy.deepcopy(live[0]), []) == ""
