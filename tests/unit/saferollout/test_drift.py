"""How the config's measure of disagreement reads two answers."""

from typing import Any

import pytest

from saferollout.config import DriftConfig
from saferollout.drift import disagreement_of


@pytest.mark.parametrize(
    ("config", "candidate", "live", "expected"),
    [
        ({"kind": "labels", "path": "0.label"}, [{"label": "a"}], [{"label": "a"}], 0.0),
        ({"kind": "labels", "path": "0.label"}, [{"label": "b"}], [{"label": "a"}], 1.0),
        ({"kind": "labels"}, ["a", "b"], ["a", "b"], 0.0),
        ({"kind": "numbers", "scale": 50}, [110.0], [100.0], 0.2),
        ({"kind": "numbers", "scale": 50}, [300.0], [100.0], 1.0),
        ({"kind": "json"}, {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, 0.5),
        ({"kind": "labels", "path": "0.label"}, [{}], [{"label": "a"}], 1.0),
        ({"kind": "labels", "path": "0.label"}, [{"label": "a"}], [{}], None),
    ],
)
def test_a_pair_has_a_disagreement(config: dict[str, Any], candidate: Any, live: Any, expected: float | None) -> None:
    """A part that only the candidate lacks disagrees fully; one that the live answer lacks says nothing."""
    assert expected == disagreement_of(DriftConfig.model_validate({"tolerance": 0.05} | config), candidate, live)
