"""What a run's labels say of the rollout that it began."""

import uuid

import pytest
from prefect.client.schemas.objects import FlowRun

from saferollout.config.rollout import WorkspaceConfig
from tasks.support.labels import PAUSE, asked_of
from tasks.support.this_run import marks, target_of


def test_labels_of_others_are_not_the_rollouts() -> None:
    """Whoever rolls a cancelled run back takes only what the run itself wrote, whatever else begins alike."""
    own = {"saferollout.endpoint": "shop", "saferollout.name": "ws", "saferollout.operation_timeout_s": 60.0}
    others = {"team.saferollout.owner": "ann", "saferollout.owner": "ann", "prefect.flow.id": "1"}
    run = FlowRun.model_validate({"flow_id": uuid.uuid4(), "labels": own | others})

    found = marks(run)

    assert found.pop("endpoint") == "shop"
    workspace = WorkspaceConfig.model_validate(found)
    assert (workspace.name, workspace.operation_timeout_s) == ("ws", 60.0)


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ({"saferollout.operation_timeout_s": "soon"}, ("s", "g", "w", "shop")),
        ({"saferollout.name": ""}, ("s", "g", "of-env", "shop")),
        ({"saferollout.endpoint": "no such/name"}, ("s", "g", "w", None)),
    ],
    ids=["timeout", "workspace", "endpoint"],
)
def test_a_label_that_cannot_be_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, broken: dict[str, str], expected: tuple[str | None, ...]
) -> None:
    """Somebody else may have written it: the rest still says what to roll back."""
    for name in ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZUREML_WORKSPACE_NAME"):
        monkeypatch.setenv(name, "of-env")
    given = {"subscription_id": "s", "resource_group": "g", "name": "w", "endpoint": "shop"}
    labels = {f"saferollout.{name}": value for name, value in given.items()} | broken
    run = FlowRun.model_validate({"flow_id": uuid.uuid4(), "labels": labels})

    target = target_of(run)

    assert target is not None
    workspace, endpoint = target
    assert (workspace.subscription_id, workspace.resource_group, workspace.name, endpoint) == expected


def test_a_run_without_labels_of_its_own_began_nothing() -> None:
    """Whatever labels others gave it."""
    labels = {"saferollout.team": "shop", "saferollout": "y", "my.saferollout.endpoint": "shop"}

    assert target_of(FlowRun.model_validate({"flow_id": uuid.uuid4(), "labels": labels})) is None


@pytest.mark.parametrize("value", ["", "yes", "{}", 7, True, '{"by": "Ann"}'])
def test_what_nobody_asked_for_is_not_done(value: object) -> None:
    """A label of somebody else pauses nothing, and skips no judge."""
    run = FlowRun.model_validate({"flow_id": uuid.uuid4(), "labels": {PAUSE: value}})

    assert asked_of(run, PAUSE) is None
