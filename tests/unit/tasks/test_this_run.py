"""What a run's labels say of the rollout that it began."""

import uuid

from prefect.client.schemas.objects import FlowRun

from saferollout.config.rollout import WorkspaceConfig
from tasks.support.this_run import marks


def test_labels_of_others_are_not_the_rollouts() -> None:
    """Whoever rolls a cancelled run back takes only what the run itself wrote, whatever else begins alike."""
    own = {"saferollout.endpoint": "shop", "saferollout.name": "ws", "saferollout.operation_timeout_s": 60.0}
    others = {"team.saferollout.owner": "ann", "saferollout.owner": "ann", "prefect.flow.id": "1"}
    run = FlowRun.model_validate({"flow_id": uuid.uuid4(), "labels": own | others})

    found = marks(run)

    assert found.pop("endpoint") == "shop"
    workspace = WorkspaceConfig.model_validate(found)
    assert (workspace.name, workspace.operation_timeout_s) == ("ws", 60.0)
