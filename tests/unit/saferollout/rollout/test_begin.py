"""What would stop a rollout later is said before anything is created, with what to do about it."""

from typing import Any, NoReturn

import pytest

from saferollout.azure.memory import Memory
from saferollout.azure.rules import MAX_DEPLOYMENTS
from saferollout.azure.workspace import Workspace
from saferollout.domain.errors import AzureFailed, Refused
from saferollout.rollout.begin import begin
from saferollout.rollout.record import Record
from saferollout.rollout.rollback import roll_back
from tests.support.twin import NAME, OWNERS, deploy, edit, look, make_endpoint, make_project


@pytest.fixture
def memory() -> Memory:
    """An endpoint with blue at 100%."""
    return make_endpoint()


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
