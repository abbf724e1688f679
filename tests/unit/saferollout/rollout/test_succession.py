"""Which rollout may take the place of another one that is under way."""

import pytest

from saferollout.azure.workspace import Workspace
from saferollout.domain.errors import Taken
from saferollout.rollout.begin import begin
from saferollout.rollout.record import Phase, Record
from saferollout.rollout.succession import is_older, may_supersede
from tests.support.twin import NAME, OWNERS, look, make_endpoint, make_project, traffic_of

ANN, BOB = OWNERS["ann"], OWNERS["bob"]


@pytest.mark.parametrize(
    ("model", "than", "older"),
    [
        ("azureml:m:2", "azureml:m:3", True),
        ("azureml:m:9", "m:10", True),
        ("azureml:m:3", "azureml:m:3", False),
        ("azureml:m:4", "azureml:m:3", False),
        ("azureml:m:2", "azureml:n:3", False),
        ("azureml:m:1.0", "azureml:m:2", False),
        ("", "azureml:m:2", False),
        ("azureml:m:2", "", False),
        ("", "", False),
    ],
)
def test_numbers_say_which_version_is_older(model: str, than: str, older: bool) -> None:
    """Of one model; of all else nobody knows."""
    assert is_older(model, than) is older


def test_a_newer_version_takes_the_place_of_an_older_one() -> None:
    """That is rolled back before anything begins; the same revision, an older one and the own rollout stay."""
    memory = make_endpoint()
    azure = Workspace(memory)
    first = begin(azure, make_project(3), ANN, gone=None, begun_before=False)
    assert first is not None
    record = Record.from_tags(look(memory).resource["tags"])
    assert record is not None
    may = {version: may_supersede(make_project(version), record, BOB) for version in (2, 3, 4)}
    assert may == {2: False, 3: False, 4: True}
    assert not may_supersede(make_project(4), record, ANN)
    going_back = record.model_copy(update={"phase": Phase.ROLLING_BACK})
    assert not may_supersede(make_project(4), going_back, BOB)

    second = begin(azure, make_project(4), BOB, gone=record.owner, begun_before=False)

    assert second is not None
    there = Record.from_tags(look(memory).resource["tags"])
    assert there is not None
    assert (there.rollout, there.model) == (second.id, "azureml:model:4")
    assert traffic_of(look(memory)) == {"blue": 100}


def test_who_is_refused_learns_which_rollout_is_under_way() -> None:
    """Its run, its revision and its model, which decide what follows; nothing once it is being rolled back."""
    memory = make_endpoint()
    azure = Workspace(memory)
    begin(azure, make_project(3), ANN, gone=None, begun_before=False)

    with pytest.raises(Taken, match=f"of {NAME} is unfinished") as caught:
        begin(azure, make_project(4), BOB, gone=None, begun_before=False)

    assert (caught.value.flow_run, caught.value.revision, caught.value.model) == (
        ANN.flow_run,
        make_project(3).revision,
        "azureml:model:3",
    )
