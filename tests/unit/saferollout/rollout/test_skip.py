"""Who lets the judge be skipped is on the endpoint's record, and on that of this rollout only."""

import pytest

from saferollout.azure.workspace import Workspace
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import Lost
from saferollout.rollout.begin import begin
from saferollout.rollout.record import Record, now
from saferollout.rollout.rollback import roll_back
from saferollout.rollout.rollout import Rollout
from saferollout.rollout.skip import note_skip
from tests.support.twin import NAME, OWNERS, make_endpoint, make_project


@pytest.fixture
def azure() -> Workspace:
    """An endpoint in memory."""
    return Workspace(make_endpoint())


@pytest.fixture
def rollout(azure: Workspace) -> Rollout:
    """A rollout that has begun."""
    rollout = begin(azure, make_project(), OWNERS["ann"], gone=None, begun_before=False)
    assert rollout is not None
    return rollout


@pytest.fixture
def skip(rollout: Rollout) -> Decision:
    """Ann's decision to skip the judge at 10%."""
    return Decision(
        share=10,
        decision="skip judge",
        approver="Ann",
        comment="known noise",
        at=now().replace(microsecond=0),
        evidence="",
        rollout=rollout.id,
        revision=rollout.revision,
        flow_run=OWNERS["ann"].flow_run,
    )


def test_a_skip_is_put_on_record_once(azure: Workspace, rollout: Rollout, skip: Decision) -> None:
    """Under its share, with who and why; noting it again changes nothing."""
    note_skip(azure, rollout, skip)

    tags = azure.get_endpoint(NAME).tags
    record = Record.from_tags(tags)
    assert record is not None
    noted = record.skips[10]
    assert (noted.approver, noted.comment, noted.at) == ("Ann", "known noise", skip.at)

    note_skip(azure, rollout, skip)
    assert azure.get_endpoint(NAME).tags == tags


def test_no_skip_of_a_rollout_that_is_over(azure: Workspace, rollout: Rollout, skip: Decision) -> None:
    """Whose record is gone has nothing to skip any longer."""
    roll_back(azure, NAME)
    before = azure.get_endpoint(NAME).tags

    with pytest.raises(Lost):
        note_skip(azure, rollout, skip)

    assert azure.get_endpoint(NAME).tags == before
