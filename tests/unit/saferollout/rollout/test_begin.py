"""What would stop a rollout later is said before anything is created, with what to do about it."""

import re
from typing import Any, NoReturn

import pytest

from saferollout.azure.memory import Memory
from saferollout.azure.rules import MAX_DEPLOYMENTS
from saferollout.azure.workspace import Workspace
from saferollout.domain.errors import AzureFailed, Refused
from saferollout.rollout.begin import begin
from saferollout.rollout.record import Record
from saferollout.rollout.rollback import roll_back
from tests.support.twin import NAME, OWNERS, SIZE, deploy, edit, look, make_project


def refusal(memory: Memory, **settings: Any) -> str:
    """Why no rollout begins; the endpoint is as it was."""
    before = look(memory)
    with pytest.raises((Refused, AzureFailed)) as caught:
        begin(Workspace(memory), make_project(**settings), OWNERS["ann"], gone=None, begun_before=False)
    assert look(memory) == before
    return str(caught.value)


def test_without_a_key_nothing_begins(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smoke test, some 20 minutes later, would have been the first to find out."""

    def forbidden(_endpoint: str, *, is_refused: bool) -> NoReturn:  # noqa: ARG001  # as the port has it
        raise AzureFailed("could not get a key of endpoint shop: AuthorizationFailed: no", status=403)

    monkeypatch.setattr(memory, "secret", forbidden)

    assert refusal(memory).endswith(
        "AuthorizationFailed: no; the candidate is tested with the endpoint's key: whoever runs the rollout needs the "
        "permission Microsoft.MachineLearningServices/workspaces/onlineEndpoints/listKeys/action "
        "(role AzureML Data Scientist)"
    )


def test_mirroring_for_somebody_else_leaves_no_shadow(memory: Memory) -> None:
    """Azure mirrors to one deployment only; without a shadow stage it does not matter."""
    deploy(memory, "red", 7)
    edit(memory, mirrorTraffic={"red": 10})

    assert refusal(memory, shadow={"mirror": 10}) == (
        "shop mirrors red=10, and can mirror to one deployment only; stop that, or leave `shadow` out of the config"
    )
    assert begin(Workspace(memory), make_project(), OWNERS["ann"], gone=None, begun_before=False)


def test_an_endpoint_that_is_full_takes_no_candidate(memory: Memory) -> None:
    """Azure's limit of deployments is known beforehand."""
    for number in range(MAX_DEPLOYMENTS - 1):
        deploy(memory, f"other-{number}", 7)

    assert refusal(memory) == f"shop has {MAX_DEPLOYMENTS} deployments, and Azure allows no more; delete one"


def limit(memory: Memory, cores: int, used: int = 0) -> None:
    """Let the family of all VM sizes have so many cores, of which others use some."""
    memory.vm_sizes = [SIZE.model_copy(update={"limit": cores, "used": used})]


def begun(memory: Memory, cores: int) -> bool:
    """Whether a rollout begins where the family has so many cores."""
    limit(memory, cores)
    return begin(Workspace(memory), make_project(), OWNERS["ann"], gone=None, begun_before=False) is not None


def test_instances_that_do_not_fit_the_quota_are_refused(memory: Memory) -> None:
    """Live has 8 cores, its fifth in reserve included, and gets 8 more for 3 instances; the candidate needs 16."""
    plan = {"live": {"instance_count": 3}}
    limit(memory, 40, used=9)

    assert refusal(memory, **plan) == (
        "the rollout needs 24 cores more of standardDSv2Family in memory, for green with 3 instances of "
        "Standard_DS3_v2, blue with 3 instead of 1, and 23 of 40 are free (Azure may count 20% more instances than you "
        "ask for); request quota for Azure Machine Learning, or ask for fewer instances: `candidate.instance_count`, "
        "`live.instance_count` in the config, `instance_count` in /nowhere"
    )
    for cores, settings in ((32, plan), (24, plan | {"candidate": {"instance_count": 1}}), (16, {})):
        limit(memory, cores - 1)
        assert "and " + str(cores - 1 - 8) + f" of {cores - 1} are free" in refusal(memory, **settings)
    assert begun(memory, 16)


def test_what_the_candidate_replaces_makes_room(memory: Memory) -> None:
    """An earlier candidate of the same name goes first."""
    deploy(memory, "green", 7, tags={"saferollout.rollout": "r-0"})
    assert begun(memory, 16)


@pytest.mark.parametrize("status", [403, 404, None])
def test_a_quota_that_cannot_be_read_refuses_nothing(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: int | None
) -> None:
    """It is not shown (403, 404), or not that of this size; one line of the log says so."""

    def hidden(location: str) -> NoReturn:
        msg = f"could not read the quota of {location}: AuthorizationFailed: no"
        raise AzureFailed(msg, status=status)

    if status:
        monkeypatch.setattr(memory, "read_vm_sizes", hidden)
        why = "AuthorizationFailed: no; the role Reader on the subscription lets you read it"
    else:
        memory.vm_sizes = []
        why = "Azure shows no quota of Standard_DS3_v2 in memory"

    assert begin(Workspace(memory), make_project(), OWNERS["ann"], gone=None, begun_before=False)
    (line,) = caplog.messages
    assert re.search(f"whether the quota has room for green is not known before .*{why}", line)


def test_kubernetes_has_no_quota(memory: Memory, caplog: pytest.LogCaptureFixture) -> None:
    """Its instance types are the cluster's own."""
    blue = look(memory).deployments["blue"].resource
    memory.put_deployment(
        NAME, "blue", blue | {"properties": blue["properties"] | {"endpointComputeType": "Kubernetes"}}
    )
    assert begun(memory, 1)
    assert not caplog.messages


def test_a_way_back_that_is_gone_names_the_way_on(memory: Memory) -> None:
    """Somebody gave the candidate all traffic by hand and deleted the old deployment."""
    azure = Workspace(memory)
    rollout = begin(azure, make_project(), OWNERS["ann"], gone=None, begun_before=False)
    assert rollout is not None
    deploy(memory, "green", 2)
    edit(memory, traffic={"green": 100})
    memory.delete_deployment(NAME, "blue")

    with pytest.raises(Refused, match=r"deployment blue is gone: .*; .* and remove the endpoint's saferollout"):
        roll_back(azure, NAME)
    tags = look(memory).resource["tags"]
    edit(memory, tags={name: value for name, value in tags.items() if not name.startswith("saferollout.")})

    assert Record.from_tags(look(memory).resource["tags"]) is None
    assert begin(azure, make_project(3), OWNERS["ann"], gone=None, begun_before=False)
