"""Many random sequences of steps on Azure's twin, as the unit tests try them, counted; only `make chaos` runs it."""

import pytest

from tests.chaos.tally import Tally
from tests.unit.saferollout.rollout.test_machine import PARTS, SEQUENCES, awake, try_sequences

AT_ONCE = 500
__all__ = ["awake"]


@pytest.mark.parametrize("part", range(-(-SEQUENCES // AT_ONCE)))
@pytest.mark.usefixtures("awake")
def test_the_invariants_hold_whatever_happens_in_whatever_order(part: int, tally: Tally) -> None:
    """With crashes, resumes, guards, foreign changes, aborts and decisions."""
    try_sequences(PARTS + part, AT_ONCE)
    tally.add("sequences", "sequences", AT_ONCE)
