"""How the config's measure of disagreement reads two answers."""

from typing import Any

import pytest

from saferollout.answers import Answers, disagreement_of
from saferollout.judge_config import DriftConfig, JudgeConfig


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
    ],
)
def test_a_pair_has_a_disagreement(config: dict[str, Any], candidate: Any, live: Any, expected: float | None) -> None:
    """A part that only the candidate lacks disagrees fully; one that the live answer lacks says nothing."""
    found = disagreement_of(DriftConfig.model_validate({"tolerance": 0.05} | config), candidate, live)

    assert found == (None if expected is None else pytest.approx(expected))


def test_each_test_of_answers_gets_its_part() -> None:
    """Losses only where the truth is known; what is no label or number is counted, as one of the others."""
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
