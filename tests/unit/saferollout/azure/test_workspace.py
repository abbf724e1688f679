"""Reconciliation on the twin: reads that come late, operations of others, and those that fail."""

from pathlib import Path

import pytest

from saferollout.azure.memory import Failure, Memory
from saferollout.azure.workspace import Workspace
from saferollout.domain.errors import AzureFailed, DeploymentFailed, Drifted
from saferollout.rollout.drift import expecting
from tests.support.twin import NAME, capacity, edit, look, make_endpoint, traffic_of


def create(azure: Workspace) -> None:
    """Create green."""
    azure.create_deployment(Path("green.yml"), NAME, "green", assets={}, tags={"by": "test"})


def test_a_change_is_over_when_it_is_read(memory: Memory, azure: Workspace) -> None:
    """Azure shows the endpoint as it was for a while; nothing is sent a second time for it."""
    changes: list[None] = []
    memory.changed = lambda: changes.append(None)
    memory.late_reads = 2

    azure.update_endpoint(NAME, tags=lambda tags: tags | {"stage": "10"})

    assert azure.get_endpoint(NAME).tags["stage"] == "10"
    create(azure)
    assert azure.get_endpoint(NAME).deployments["green"].tags == {"by": "test"}
    assert len(changes) == 2


def test_an_operation_of_somebody_else_is_waited_for(memory: Memory, azure: Workspace) -> None:
    """On the endpoint or on the deployment, before anything is sent."""
    memory.hold(NAME, reads=1)
    azure.update_endpoint(NAME, tags=lambda tags: tags | {"stage": "10"})
    memory.hold(NAME, "blue", reads=1)
    azure.scale_up(NAME, "blue", 2)

    found = look(memory)
    assert found.resource["tags"]["stage"] == "10"
    assert capacity(found.deployments["blue"].resource) == 2


@pytest.mark.parametrize("failure", ["before", "after"])
def test_what_does_not_come_up_is_said_with_its_log(memory: Memory, azure: Workspace, failure: Failure) -> None:
    """It is there, Failed; made anew, it comes up."""
    memory.fails_next = failure
    with pytest.raises(DeploymentFailed, match=r"deployment green did not come up: .*\| log: Instance status: Failed"):
        create(azure)
    assert azure.get_endpoint(NAME).deployments["green"].broken

    azure.delete_deployment(NAME, "green")
    create(azure)

    assert not azure.get_endpoint(NAME).deployments["green"].broken


def test_an_update_that_fails_leaves_what_it_was(memory: Memory, azure: Workspace) -> None:
    """The next attempt finds a final state and makes the change."""
    create(azure)
    split = {"blue": 90, "green": 10}
    memory.fails_next = "before"
    with pytest.raises(AzureFailed):
        azure.update_endpoint(NAME, traffic=split, check=expecting({"blue": 100}, split))
    assert traffic_of(look(memory)) == {"blue": 100}

    azure.update_endpoint(NAME, traffic=split, check=expecting({"blue": 100}, split))
    azure.update_endpoint(NAME, traffic=split, check=expecting({"blue": 100}, split))  # as if the answer had been lost

    assert traffic_of(look(memory)) == split
    edit(memory, traffic={"green": 100})
    with pytest.raises(Drifted, match="the traffic of shop is green=100"):
        azure.update_endpoint(NAME, traffic={"blue": 100}, check=expecting(split, {"blue": 100}))


def test_instances_beyond_the_quota_are_refused() -> None:
    """As a failure of Azure that no other attempt gets over."""
    azure = Workspace(make_endpoint(quota=2))
    azure.scale_up(NAME, "blue", 2)
    with pytest.raises(AzureFailed, match="OutOfQuota: 2 of 2 instances are left, not 3") as caught:
        azure.scale_up(NAME, "blue", 3)
    assert not caught.value.retryable


def test_what_is_gone_is_not_written_back(memory: Memory, azure: Workspace) -> None:
    """Azure keeps the zero of a deployment that was deleted, and refuses every update that names it."""
    create(azure)
    edit(memory, traffic={"blue": 100, "green": 0}, mirrorTraffic={"green": 0})
    azure.delete_deployment(NAME, "green")

    azure.update_endpoint(NAME, tags=lambda tags: tags | {"stage": "10"})

    found = look(memory).resource
    assert found["tags"]["stage"] == "10"
    assert (found["properties"]["traffic"], found["properties"]["mirrorTraffic"]) == ({"blue": 100}, {})
