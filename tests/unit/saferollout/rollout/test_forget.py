"""The record of a rollout stays until its end is reported, and nothing but what has ended is forgotten."""

from collections.abc import Callable

import pytest

from saferollout.azure.workspace import Workspace
from saferollout.rollout import retire, rollback
from saferollout.rollout.begin import begin
from saferollout.rollout.create import create_candidate
from saferollout.rollout.forget import forget
from saferollout.rollout.record import Phase, Record
from saferollout.rollout.rollout import Rollout
from saferollout.rollout.scale import scale_candidate, scale_live
from saferollout.rollout.shift import shift_traffic
from tests.support.twin import NAME, OWNERS, make_endpoint, make_project


@pytest.fixture
def azure() -> Workspace:
    """An endpoint on the twin."""
    return Workspace(make_endpoint())


def phase(azure: Workspace) -> Phase | None:
    """The phase on record."""
    record = Record.from_tags(azure.get_endpoint(NAME).tags)
    return record.phase if record else None


def begun(azure: Workspace, *shares: int) -> Rollout:
    """A rollout that has come so far."""
    rollout = begin(azure, make_project(), OWNERS["ann"], gone=None, begun_before=False)
    assert rollout is not None
    scale_live(azure, rollout)
    create_candidate(azure, rollout)
    for share in shares:
        scale_candidate(azure, rollout, share)
        shift_traffic(azure, rollout, share, None)
    return rollout


def retired(azure: Workspace, rollout: Rollout) -> None:
    """The old deployment is gone."""
    retire.end(azure, rollout, 0, forgets=False)


def rolled_back(azure: Workspace, _: Rollout) -> None:
    """The endpoint is as before."""
    rollback.roll_back(azure, NAME, forgets=False)


@pytest.mark.parametrize(
    ("shares", "end", "left"), [((10, 100), retired, Phase.RETIRING), ((10,), rolled_back, Phase.ROLLING_BACK)]
)
def test_the_record_goes_last(
    azure: Workspace, shares: tuple[int, ...], end: Callable[[Workspace, Rollout], None], left: Phase
) -> None:
    """Who finds it there does the end again, which changes nothing, and then forgets it."""
    rollout = begun(azure, *shares)
    end(azure, rollout)
    assert phase(azure) is left
    end(azure, rollout)
    forget(azure, NAME, "another rollout")
    assert phase(azure) is left

    forget(azure, NAME, rollout.id)

    assert phase(azure) is None
    forget(azure, NAME, rollout.id)


def test_what_has_not_ended_is_not_forgotten(azure: Workspace) -> None:
    """A rollout under way, and one whose old deployment is kept."""
    rollout = begun(azure, 10)
    forget(azure, NAME, rollout.id)
    assert phase(azure) is Phase.ROLLING
    scale_candidate(azure, rollout, 100)
    shift_traffic(azure, rollout, 100, None)
    retire.end(azure, rollout, 3600, forgets=False)

    forget(azure, NAME, rollout.id)

    assert phase(azure) is Phase.KEEPING
