"""What a live deployment can carry while it waits for the instances that were taken from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saferollout.restore import carried_share


@pytest.mark.parametrize(
    ("instances", "baseline", "share", "carried"),
    [(2, 2, 0, 100), (4, 2, 0, 100), (1, 4, 0, 25), (2, 4, 90, 100), (1, 4, 50, 50), (1, 2, 10, 50), (0, 2, 0, 0)],
    ids=["as before", "more", "idle and small", "carries nearly all", "half", "a tenth", "nothing left"],
)  # fmt: skip
def test_a_small_live_deployment_gets_what_it_can_carry(
    instances: int, baseline: int, share: int, carried: int
) -> None:
    """All of it if it is as large as before, or carries most of today's traffic with the instances it has."""
    assert carried_share(instances, baseline, share) == carried


@given(st.integers(0, 50), st.integers(1, 50), st.integers(0, 100))
def test_harm_takes_no_users_from_live(instances: int, baseline: int, share: int) -> None:
    """The first change of a rollback never moves users to the candidate."""
    assert share <= carried_share(instances, baseline, share) <= 100
