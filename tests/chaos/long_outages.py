"""What all rollouts need is gone for a while; only `make chaos` runs it, since it takes long.

SAFEROLLOUT_ROUNDS says how often.
"""

import os
from pathlib import Path

import pytest

from tests.chaos.arena import Arena
from tests.chaos.rollouts import abandoned, all_planned, outages
from tests.chaos.tally import Tally

ROUNDS = int(os.environ.get("SAFEROLLOUT_ROUNDS", "12"))
pytestmark = [pytest.mark.xdist_group("chaos"), pytest.mark.timeout(12 * 3600)]


@pytest.mark.parametrize("number", range(ROUNDS))
def test_what_all_rollouts_need_is_gone_for_a_while(number: int, arena: Arena, tmp_path: Path, tally: Tally) -> None:
    """Prefect's server, the worker with its runs, the guard, and Azure's management, one after the other."""
    outages(arena, tally, tmp_path, f"parts-{number}", number, 3)


@pytest.mark.parametrize("number", range(max(1, ROUNDS // 6)))
def test_harm_is_rolled_back_when_nothing_of_prefect_is_left(
    number: int, arena: Arena, tmp_path: Path, tally: Tally
) -> None:
    """The worker, the process and the server are gone, and nobody starts them again meanwhile."""
    abandoned(arena, tally, tmp_path, f"abandoned-{number}")


def test_all_was_as_planned(arena: Arena, tally: Tally) -> None:
    """Local Azure's own recording of all that the others had it do."""
    assert all_planned(arena, tally)
