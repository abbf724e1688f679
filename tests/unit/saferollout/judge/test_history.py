"""The course of a judgement in a bounded number of points."""

import json

import pytest

from saferollout.judge.history import LIMIT, History


@pytest.mark.parametrize("number", [0, 1, LIMIT, LIMIT + 1, 10 * LIMIT + 3])
def test_points_stay_few_and_include_the_last(number: int) -> None:
    """However many points come, at most LIMIT + 1 are kept, in order, with the first and the last."""
    history = History()

    for index in range(number):
        history.add({"index": index})

    indices = [point["index"] for point in history.points]
    assert len(indices) <= LIMIT + 1
    assert indices == sorted(set(indices))
    assert indices[:1] == ([0] if number else [])
    assert indices[-1:] == ([number - 1] if number else [])


def test_it_goes_on_after_a_restart() -> None:
    """Points and their thinning survive JSON."""
    history = History()
    for index in range(3 * LIMIT):
        history.add({"index": index})

    copy = History.from_dict(json.loads(json.dumps(history.to_dict())))
    for index in range(3 * LIMIT, 4 * LIMIT):
        history.add({"index": index})
        copy.add({"index": index})

    assert copy.points == history.points
