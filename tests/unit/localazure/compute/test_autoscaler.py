"""How many instances a load asks for."""

import pytest

from localazure.compute.autoscaler import Scaling
from localazure.compute.properties import DefaultScale, RequestSettings, TargetUtilization

REQUESTS = RequestSettings(max_concurrent_requests_per_instance=4, max_queue_wait="PT0.5S", request_timeout="PT5S")


@pytest.mark.parametrize(
    ("requests", "expected"),
    [(0, 2), (1, 2), (4, 2), (5, 3), (6, 3), (7, 4), (8, 4), (9, 4), (1000, 4)],
)
def test_instances_for_a_load(requests: int, expected: int) -> None:
    """Two of four requests each make an instance as busy as it shall be; never fewer, never more than allowed."""
    scale = TargetUtilization(
        scale_type="TargetUtilization",
        min_instances=2,
        max_instances=4,
        polling_interval="PT1S",
        target_utilization_percentage=50,
    )
    scaling = Scaling.parse(scale, REQUESTS)
    assert scaling is not None
    assert scaling.wanted(requests) == expected


def test_a_fixed_number_of_instances_does_not_scale() -> None:
    """With the scale type Default."""
    assert Scaling.parse(DefaultScale(scaleType="Default"), REQUESTS) is None
