"""How much two answers disagree."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saferollout.judge import disagreement

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


def test_labels_agree_or_not() -> None:
    """Equal labels disagree by 0, different ones by 1."""
    assert disagreement.labels(["a", "b", 1], ["a", "c", 1]).tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="shorter"):
        disagreement.labels(["a"], [])


def test_vectors_disagree_by_total_variation() -> None:
    """(½, ½) against (1, 0) is ½; opposite classes are 1; nothing against something is 1, against nothing 0."""
    live = [[0.5, 0.5], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0], [1.0, math.inf]]
    candidate = [[1, 0], [1, 0], [0, 1], [0, 0], [1, 1]]

    assert disagreement.vectors(live, candidate).tolist() == [0.5, 1, 1, 0, 1]
    with pytest.raises(ValueError, match=r"must be of shape \(T, N\)"):
        disagreement.vectors([1, 2], [1, 2])
    with pytest.raises(ValueError, match="of one shape"):
        disagreement.vectors([[1]], [[1, 2]])


@pytest.mark.parametrize(
    ("live", "candidate", "expected"),
    [
        ({"a": 1, "b": [1, 2]}, {"a": 1, "b": [1, 2]}, 0.0),
        ({"a": 1, "b": [1, 2]}, {"a": 1, "b": [1]}, 1 / 3),
        ({"a": 1}, {"b": 1}, 1.0),
        ([1, "x"], [1, "y"], 0.5),
        (1, True, 1.0),
        (1, 1.0, 0.0),
        (None, 0, 1.0),
        (10, 9, 0.1),
        (-1, 1, 1.0),
        ({}, {}, 0.0),
        ([], [[]], 1.0),
        ([1, 2], 1, 1.0),
        ("same", "same", 0.0),
    ],
)
def test_json_disagrees_by_its_leaves(live: object, candidate: object, expected: float) -> None:
    """The share of leaves that differ; a leaf without counterpart or of another type counts as one."""
    assert disagreement.json_values(live, candidate) == pytest.approx(expected)


NAN, INF = math.nan, math.inf
HUGE = 10**400  # JSON's integers have no end


@pytest.mark.parametrize("value", [NAN, INF, -INF, [NAN, 1], {"a": [INF]}, None, [None], HUGE, True, "x"])
def test_the_same_answer_is_agreement_in_every_measure(value: object) -> None:
    """NaN equals nothing, but the same NaN on both sides is the same answer; so are infinities and null."""
    again = json.loads(json.dumps(value))

    assert disagreement.same(value, again)
    assert disagreement.labels([value], [again]).tolist() == [0]
    assert disagreement.json_values(value, again) == 0
    assert disagreement.json_values(value, again, scale=0.5) == 0


@pytest.mark.parametrize(
    ("a", "b"), [(NAN, 1), (NAN, INF), (INF, -INF), (NAN, None), (True, 1), ([NAN], [1]), (HUGE, 1.5), (HUGE, INF)]
)
def test_different_values_disagree_fully_in_every_measure(a: object, b: object) -> None:
    """NaN is not null, true is not 1, and a number beyond all floats does not fail the judge."""
    assert not disagreement.same(a, b)
    assert disagreement.labels([a], [b]).tolist() == [1]
    assert disagreement.json_values(a, b) == 1
    assert disagreement.json_values(a, b, scale=0.5) == 1


def test_arrays_agree_where_both_have_the_same_nan_or_infinity() -> None:
    """The other positions of a vector decide then; NaN on one side only is full disagreement."""
    live = [[NAN, 0.5, 0.5], [NAN, 1, 0], [INF, -INF, 1], [NAN, NAN, NAN], [NAN, 1, 0]]
    candidate = [[NAN, 0.5, 0.5], [NAN, 0.0, 1.0], [INF, -INF, 1.0], [NAN, NAN, NAN], [0.0, 1.0, 0.0]]
    assert disagreement.vectors(live, candidate).tolist() == [0, 1, 0, 0, 1]


@pytest.mark.parametrize(
    ("live", "candidate", "expected"),
    [(0, 0, 0), (0, 5, 0.5), (0, 20, 1), (NAN, 1, 1), (NAN, NAN, 0), (INF, INF, 0), (INF, -INF, 1)],
)
def test_numbers_disagree_by_their_distance(live: float, candidate: float, expected: float) -> None:
    """Half the scale is ½, more than the scale is 1, not a number is 1; the same NaN or infinity on both sides is 0."""
    assert disagreement.json_values(live, candidate, scale=10) == expected


def test_numbers_in_json_may_have_a_scale() -> None:
    """Each number disagrees by its distance, also inside of lists."""
    assert disagreement.json_values([10, 3], [15, 3], scale=10) == pytest.approx(0.25)
    assert disagreement.json_values(1.0, math.inf, scale=10) == 1.0


@given(a=json_values, b=json_values)
def test_json_disagreement_is_symmetric_and_bounded(a: object, b: object) -> None:
    """D lies in [0, 1], is 0 for the same value, and does not depend on which is which."""
    distance = disagreement.json_values(a, b)

    assert 0 <= distance <= 1
    assert distance == pytest.approx(disagreement.json_values(b, a))
    assert disagreement.json_values(a, a) == 0


def test_a_part_can_be_extracted() -> None:
    """A path of keys and positions names the part to compare; a wrong one says where it stopped."""
    answer = {"predictions": [{"label": "cat"}], "time": 3}

    assert disagreement.extract(answer, "predictions.0.label") == "cat"
    assert disagreement.extract(answer, "") == answer
    for path, step in (("predictions.1.label", "1"), ("nothing", "nothing"), ("time.x", "x"), ("predictions.x", "x")):
        with pytest.raises(KeyError, match=f"stopped at '{step}'"):
            disagreement.extract(answer, path)
