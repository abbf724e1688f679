"""Durations, as clients write them."""

import pytest

from localazure.arm.durations import duration_s
from localazure.arm.errors import ArmError


@pytest.mark.parametrize(
    ("text", "seconds"), [("PT5S", 5), ("PT0.5S", 0.5), ("PT3M", 180), ("PT1H30M", 5400), ("P1DT1S", 86401)]
)
def test_durations(text: str, seconds: float) -> None:
    """ISO 8601, as the clients write them."""
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "P", "PT", "5", "5S", "PT5", "P1M", "PT-5S", "PT5S\n"])
def test_what_is_not_a_duration(text: str) -> None:
    """Months among it: their lengths differ."""
    with pytest.raises(ArmError):
        duration_s(text)
