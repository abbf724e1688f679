"""Any part of a rollout is killed at any moment, with users on the endpoint; nobody helps but for the approvals.

SAFEROLLOUT_KILLS says how many processes are killed at least; the short form kills a few of each kind, all at once.
"""

import functools
import os
import threading
from pathlib import Path

import pytest

from tests.chaos.arena import Arena
from tests.chaos.points import back_hand, hands
from tests.chaos.rollouts import all_planned, bad, good, later, note_guards, storm, together
from tests.chaos.tally import Tally

KILLS = int(os.environ.get("SAFEROLLOUT_KILLS", "8"))
SEED = int(os.environ.get("SAFEROLLOUT_SEED", "1"))
IS_SHORT = "SAFEROLLOUT_KILLS" not in os.environ
PER_ROLLOUT = 4 if IS_SHORT else 16
BAD = max(1, KILLS // 30)
"""How many candidates turn bad."""
pytestmark = [pytest.mark.xdist_group("chaos"), pytest.mark.timeout(900 if IS_SHORT else 12 * 3600)]


def test_whatever_dies_rollouts_end_by_themselves(arena: Arena, tmp_path: Path, tally: Tally) -> None:
    """Processes die at steps' boundaries and in the middle of changes, and so does the guard at its work.

    A good candidate is promoted, one that turns bad is rolled back. In the short form the server, the management and
    the worker die meanwhile, too.
    """
    good_ones = [
        functools.partial(good, name=f"good-{number}", hand=hand)
        for number, hand in enumerate(hands(KILLS, PER_ROLLOUT, SEED))
    ]
    bad_ones = [functools.partial(bad, name=f"bad-{number}", hand=back_hand(number)) for number in range(BAD)]
    jobs = [*bad_ones, *good_ones]
    if IS_SHORT:
        killed = threading.Event()
        jobs = [
            functools.partial(storm, name="storm", killed=killed),
            *(functools.partial(later, killed, job) for job in jobs),
        ]
    failures = together(arena, tally, tmp_path, jobs)
    note_guards(arena, tally)
    assert failures == []
    assert arena.left() == []


def test_all_was_as_planned(arena: Arena, tally: Tally) -> None:
    """Local Azure's own recording of all that the others had it do."""
    assert all_planned(arena, tally)
