"""What live can carry while it waits for the instances that were taken from it, and what is a run's to roll back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saferollout.azure.workspace import Workspace
from saferollout.rollout.begin import begin
from saferollout.rollout.rollback import carried_share, find_own, roll_back
from tests.support.twin import NAME, OWNERS, make_endpoint, make_project


@pytest.mark.parametrize(
    ("instances", "baseline", "share", "carried"),
    [(2, 2, 0, 100), (4, 2, 0, 100), (1, 4, 0, 25), (2, 4, 90, 100), (1, 4, 50, 50), (1, 2, 10, 50), (0, 2, 0, 0)],
    ids=["as before", "more", "idle and small", "carries nearly all", "half", "a tenth", "nothing left"],
)
def test_a_small_live_deployment_gets_what_it_can_carry(
    instances: int, baseline: int, share: int, carried: int
) -> None:
    """All of it if it is as large as before, or carries most of today's traffic with the instances it has."""
    assert carried_share(instances, baseline, share) == carried


@given(st.integers(0, 50), st.integers(1, 50), st.integers(0, 100))
def test_harm_takes_no_users_from_live(instances: int, baseline: int, share: int) -> None:
    """The first change of a rollback never moves users to the candidate."""
    assert share <= carried_share(instances, baseline, share) <= 100


def test_a_run_finds_its_unfinished_rollout() -> None:
    """By its id in the record: not another run's, and no longer when it is rolled back."""
    azure = Workspace(make_endpoint())
    begin(azure, make_project(), OWNERS["ann"], gone=None, begun_before=False)

    assert find_own(azure, OWNERS["ann"].flow_run) == [NAME]
    assert find_own(azure, OWNERS["bob"].flow_run) == []

    roll_back(azure, NAME)
    assert find_own(azure, OWNERS["ann"].flow_run) == []
