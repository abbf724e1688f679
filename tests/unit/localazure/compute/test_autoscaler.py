"""How many instances a load asks for."""

import pytest

from localazure.compute.autoscaler import Scaling


@pytest.mark.parametrize(
    ("requests", "expected"),
    [(0, 2), (1, 2), (4, 2), (5, 3), (6, 3), (7, 4), (8, 4), (9, 4), (1000, 4)],
)
def test_instances_for_a_load(requests: int, expected: int) -> None:
    """Two of four requests each make an instance as busy as it shall be; never fewer, never more than allowed."""
    properties = {
        "scaleSettings": {
            "scaleType": "TargetUtilization",
            "minInstances": 2,
            "maxInstances": 4,
            "pollingInterval": "PT1S",
            "targetUtilizationPercentage": 50,
        },
        "requestSettings": {"maxConcurrentRequestsPerInstance": 4},
    }
    scaling = Scaling.parse(properties)
    assert scaling is not None
    assert scaling.wanted(requests) == expected


def test_a_fixed_number_of_instances_does_not_scale() -> None:
    """With the scale type Default."""
    assert Scaling.parse({"scaleSettings": {"scaleType": "Default"}, "requestSettings": {}}) is None
