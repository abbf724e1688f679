"""Every recorded fact about Azure, against local Azure: the same, or different with a reason in docs/local-azure.md."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml.entities import Model

from localazure.core.clock import AZURE_S, Change
from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm
from tests.support.localazure.recorded import Comparison, explanations, within
from tests.support.localazure.recorded_walk import MLFLOW, Walk
from tests.support.localazure.sdk import register, sdk_client

pytestmark = pytest.mark.xdist_group("recorded")

RECORDED = json.loads(Path(__file__).with_name("facts.json").read_text())
FACTS: list[dict[str, Any]] = RECORDED["facts"]
DURATIONS: list[dict[str, Any]] = RECORDED["durations_s"]
BY_NAME = {fact["operation"]: fact for fact in FACTS}
EXPLANATIONS = explanations()

CHANGES = {
    "endpoint create": Change.ENDPOINT_CREATE,
    "endpoint delete, no deployments": Change.ENDPOINT_DELETE,
    "endpoint delete, probably with a deployment": Change.ENDPOINT_DELETE_WITH_DEPLOYMENTS,
    "traffic": Change.ENDPOINT_UPDATE,
    "deployment create": Change.DEPLOYMENT_CREATE,
    "deployment 2 to 3 instances": Change.DEPLOYMENT_SCALE,
}
"""What a recorded duration is of, by how its description begins."""

Found = dict[str, list[str]]


@pytest.fixture(scope="module")
def walk(azure: LocalAzure) -> Iterator[Walk]:
    """All operations, done once. Nothing else runs on this local Azure meanwhile."""
    with Arm(azure.environ) as arm, pytest.MonkeyPatch.context() as patch:
        assets = register(azure.environ)
        sdk = sdk_client(azure.environ, patch)
        mlflow = sdk.models.create_or_update(Model(name="recorded-flow", version="1", path=MLFLOW, type="mlflow_model"))
        done = Walk(azure, arm, assets, mlflow.id)
        done.run()
        with LocalAzure(None, "--datastore-auth", "identity") as other, Arm(other.environ) as there:
            wanted = {"expirableSecret": True, "expireAfterHours": 1}
            secrets = there.call("POST", "datastores/workspaceblobstore/listSecrets", wanted)
            done.note("datastore secrets, identity-based workspace", secrets)
        yield done
        arm.run("DELETE", "onlineEndpoints/facts")


@pytest.fixture(scope="module")
def found(walk: Walk, azure: LocalAzure) -> Found:
    """The differences, by operation."""
    here = azure.environ["AZURE_AUTHORITY_HOST"]
    whole = {**BY_NAME["endpoint list"], "body": {"value": [BY_NAME["endpoint get"]["body"]]}}
    facts = BY_NAME | {"endpoint list": whole}
    return {name: Comparison(fact, walk.answers[name], here).differences() for name, fact in facts.items()}


def _unexplained(operation: str, differences: list[str]) -> list[str]:
    return [
        difference for difference in differences if not any(one.covers(operation, difference) for one in EXPLANATIONS)
    ]


@pytest.mark.parametrize("operation", BY_NAME)
def test_an_answer_is_as_recorded(operation: str, found: Found) -> None:
    """Status, headers, keys, nulls, enumerations and formats."""
    unexplained = _unexplained(operation, found[operation])
    assert not unexplained, "\n".join(unexplained)


def _duration_differences(recorded: dict[str, Any]) -> list[str]:
    change = next((change for what, change in CHANGES.items() if recorded["what"].startswith(what)), None)
    if change is None:
        return ["duration is not modelled"]
    seconds = AZURE_S[change]
    return [] if within(recorded["seconds"], seconds) else [f"duration {seconds} s"]


@pytest.mark.parametrize("recorded", DURATIONS, ids=lambda found: f"{found['what']} ({found['from']})")
def test_a_duration_is_as_recorded(recorded: dict[str, Any]) -> None:
    """Within its bounds, or no more than twice off: all are single samples."""
    differences = _duration_differences(recorded)
    assert _unexplained(recorded["what"], differences) == []


def test_every_explanation_explains_something(found: Found, record_property: Callable[[str, object], None]) -> None:
    """One that no difference needs is out of date. How many facts there are is said at the end of the tests."""
    facts = [*found.items(), *((recorded["what"], _duration_differences(recorded)) for recorded in DURATIONS)]
    differences = [(operation, one) for operation, all_of_it in facts for one in all_of_it]
    unused = [one for one in EXPLANATIONS if not any(one.covers(*difference) for difference in differences)]
    assert unused == []
    same = sum(not all_of_it for _, all_of_it in facts)
    record_property(f"{len(facts)} facts", f"{same} same, {len(facts) - same} explained")


def test_while_traffic_changes_an_endpoint_shows_what_it_had(walk: Walk) -> None:
    """In no recording; the cautious reading, which is that of the answer to PUT."""
    shown = walk.answers["while traffic changes"].json()["properties"]
    assert (shown["provisioningState"], shown["traffic"]) == ("Updating", {})
