"""How the config's measure of disagreement reads two answers."""

import math
from typing import Any

import pytest

from saferollout.config.judge import JudgeConfig, PredictionDriftConfig
from saferollout.gates.answer_comparison import Answers, disagreement_of


@pytest.mark.parametrize(
    ("config", "candidate", "live", "expected"),
    [
        ({"kind": "labels", "path": "0.label"}, [{"label": "a"}], [{"label": "a"}], 0.0),
        ({"kind": "labels", "path": "0.label"}, [{"label": "b"}], [{"label": "a"}], 1.0),
        ({"kind": "labels"}, ["a", "b"], ["a", "b"], 0.0),
        ({"kind": "numbers", "scale": 50}, [110.0], [100.0], 0.2),
        ({"kind": "numbers", "scale": 50}, [300.0], [100.0], 1.0),
        ({"kind": "json"}, {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, 0.5),
        ({"kind": "vectors", "path": "0"}, [[0.6, 0.4]], [[0.9, 0.1]], 0.3),
        ({"kind": "vectors"}, [0.6, 0.4], [0.9], 1.0),
        ({"kind": "vectors"}, {"a": 1}, [0.9], 1.0),
        ({"kind": "labels", "path": "0.label"}, [{}], [{"label": "a"}], 1.0),
        ({"kind": "labels", "path": "0.label"}, [{"label": "a"}], [{}], None),
        ({"kind": "labels", "path": "0"}, [math.nan], [math.nan], 0.0),
        ({"kind": "labels"}, [math.nan], [math.nan], 0.0),
        ({"kind": "numbers", "scale": 1, "path": "0"}, [math.nan], [math.nan], 0.0),
        ({"kind": "vectors", "path": "0"}, [[math.nan, 1]], [[math.nan, 1]], 0.0),
        ({"kind": "vectors"}, [[0.6, 0.4], [1, 0]], [[0.9, 0.1], [1, 0]], 0.15),
        ({"kind": "vectors"}, [[0.6, 0.4]], [[0.6, 0.4], [1, 0]], 1.0),
        ({"kind": "vectors"}, {"cat": 0.6, "dog": 0.4}, {"dog": 0.1, "cat": 0.9}, 0.3),
        ({"kind": "vectors"}, {"cat": 1}, {"dog": 1}, 1.0),
        ({"kind": "vectors"}, [], [], 0.0),
        ({"kind": "vectors"}, [10**400, 1], [0.5, 0.5], 1.0),
        ({"kind": "vectors", "path": "label"}, {"label": "a"}, {"label": "a"}, None),
        ({"kind": "vectors", "path": "y"}, {"y": 1}, {"y": 1}, None),
        ({"kind": "numbers", "scale": 1, "path": "p"}, {"p": "0.75"}, {"p": "0.5"}, 0.25),
        ({"kind": "numbers", "scale": 1}, 10**400, 1.5, 1.0),
        (
            {"kind": "labels", "path": "result.0.label"},
            {"result": '[{"label": "a"}]'},
            {"result": '[{"label": "b"}]'},
            1.0,
        ),
        ({"kind": "json"}, {"r": "[1, 2]"}, {"r": "[1, 3]"}, 1 / 6),
        (
            {"kind": "json", "ignore": ["id", "at"]},
            {"y": 1, "in": [{"id": 1}], "at": 5},
            {"y": 1, "in": [{"id": 2}], "at": 6},
            0.0,
        ),
    ],
)
def test_a_pair_has_a_disagreement(config: dict[str, Any], candidate: Any, live: Any, expected: float | None) -> None:
    """A part that only the candidate lacks disagrees fully; what the live answer does not have says nothing."""
    found = disagreement_of(PredictionDriftConfig.model_validate({"tolerance": 0.05} | config), candidate, live)

    assert found == (None if expected is None else pytest.approx(expected))


def test_each_test_of_answers_gets_its_part() -> None:
    """Losses only where the truth is known; what is not a label or number is counted, as one of the others."""
    config = JudgeConfig.model_validate(
        {
            "prediction_drift": {"kind": "labels", "path": "0", "tolerance": 0.1},
            "quality": {"kind": "numbers", "path": "0", "scale": 10},
            "output_drift": {"path": "0", "labels": [1, 2]},
        }
    )

    parts = Answers(config).compared([([2.0], [3.0], [2.0]), (None, [1], ["a"]), ([1], [], [1])])

    assert parts == {
        "disagreements": [1.0, 1.0, 1.0],
        "candidate_losses": [pytest.approx(0.1), 1.0],
        "live_losses": [0.0, 0.0],
        "candidate_answers": [3.0, 1, None],
        "live_answers": [2.0, "a", 1],
    }
    assert Answers(JudgeConfig()).compared([([1], [1], [1])]) == {}


SOME = ([1], [1], [1])


@pytest.mark.parametrize(
    ("config", "live", "why"),
    [
        (
            {"prediction_drift": {"kind": "labels", "path": "predictions.0.label", "tolerance": 0.1}},
            {"y": 1},
            "prediction drift: no pair could be compared: live answers have no 'predictions.0.label'",
        ),
        (
            {"prediction_drift": {"kind": "vectors", "path": "y", "tolerance": 0.1}},
            {"y": "a"},
            "prediction drift: no pair could be compared: live answers have no vector of numbers at 'y'",
        ),
        (
            {"output_drift": {"path": "label", "labels": ["a"]}},
            {"y": 1},
            "output drift: no answer could be counted: live answers have no 'label'",
        ),
        (
            {"output_drift": {"labels": [1, 2]}},
            [1],
            "output drift: no answer could be counted: live answers have no label",
        ),
        (
            {"output_drift": {"path": "y", "borders": [1, 2]}},
            {"y": "1"},
            "output drift: no answer could be counted: live answers have no number at 'y'",
        ),
        (
            {"quality": {"kind": "labels", "path": "label"}},
            {"label": "a"},
            "quality: no answer could be compared: the true answers have no 'label'",
        ),
    ],
)
def test_what_has_nothing_to_compare_says_so(config: dict[str, Any], live: Any, why: str) -> None:
    """A comparison that the config asks for and the answers have nothing for: no part of the batch, and the reason."""
    answers = Answers(JudgeConfig.model_validate(config))
    (name,) = config
    assert answers.lacking == (f"{name.replace('_', ' ')}: no recorded request was answered by both deployments",)

    parts = answers.compared([("a", live, live)] * 3)

    assert [list(part) for part in parts.values()] == [[]] * len(parts)
    assert answers.lacking == (why,)


def test_true_answers_that_are_missing_are_said_to_be() -> None:
    """Quality needs recorded requests that were answered and have a true answer."""
    answers = Answers(JudgeConfig.model_validate({"quality": {"kind": "labels"}}))
    answers.compared([(None, [1], [1])])
    assert answers.lacking == ("quality: no recorded request that was answered has a true answer",)
    answers.compared([SOME, (None, [1], [1])])
    assert list(answers.lacking) == []


def test_one_pair_that_can_be_compared_is_something() -> None:
    """Live answers that have the part now and then are compared where they have it; nothing is said of the others."""
    config = {
        "prediction_drift": {"kind": "labels", "path": "0", "tolerance": 0.1},
        "output_drift": {"path": "0", "labels": [1]},
    }
    answers = Answers(JudgeConfig.model_validate(config))

    answers.compared([(None, [], [])])
    assert len(answers.lacking) == 2
    answers.compared([SOME, (None, [], [])])
    assert list(answers.lacking) == []
    answers.compared([(None, [], [])])
    assert list(answers.lacking) == []
