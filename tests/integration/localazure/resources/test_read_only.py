"""`localazure up --strict`, as in all tests here: what a client may not write must be as it is held."""

from collections.abc import Iterator
from typing import Any

import pytest

from saferollout.azure.resources import writable
from tests.support.localazure.arm import Arm, Assets, message

ENDPOINT = "onlineEndpoints/read-only"


@pytest.fixture(scope="module", autouse=True)
def endpoint(arm: Arm) -> Iterator[None]:
    """An endpoint without deployments."""
    arm.endpoint("read-only")
    yield
    arm.run("DELETE", ENDPOINT)


def changed(resource: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """The resource with another value there."""
    name, _, rest = place.partition(".")
    return resource | {name: changed(resource.get(name, {}), rest, value) if rest else value}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("id", "/subscriptions/other"),
        ("name", "other"),
        ("type", "Microsoft.MachineLearningServices/workspaces/batchEndpoints"),
        ("systemData", {"createdAt": "2020-01-01T00:00:00+00:00"}),
        ("identity.principalId", "00000000-0000-0000-0000-000000000001"),
        ("properties.provisioningState", "Failed"),
        ("properties.scoringUri", "https://other.example/score"),
        ("properties.swaggerUri", "https://other.example/swagger.json"),
    ],
)
def test_a_read_only_property_that_differs_is_refused(arm: Arm, place: str, value: Any) -> None:
    """400 with its place, for an endpoint that is there and for one that is not; and nothing is changed."""
    shown = arm.get(ENDPOINT)
    refused = arm.call("PUT", ENDPOINT, changed(shown | {"tags": {"by": "mistake"}}, place, value))
    assert refused.status_code == 400
    assert f"'{place}' is read-only" in message(refused)
    assert arm.get(ENDPOINT) == shown
    new = "onlineEndpoints/read-only-new"
    refused = arm.call("PUT", new, changed({"location": "local", "properties": {"authMode": "Key"}}, place, value))
    assert f"'{place}' is read-only" in message(refused)
    assert arm.call("GET", new).status_code == 404


def test_what_was_read_can_be_written_back_while_it_is_true(arm: Arm) -> None:
    """When somebody else has changed the endpoint since, no longer; what the rollout writes of it still can."""
    shown = arm.get(ENDPOINT)
    assert arm.run("PUT", ENDPOINT, shown | {"id": shown["id"].upper()})["status"] == "Succeeded"
    refused = arm.call("PUT", ENDPOINT, shown)
    assert "'systemData' is read-only" in message(refused)
    assert arm.run("PUT", ENDPOINT, writable(shown))["status"] == "Succeeded"


def test_patches_deployments_and_assets_are_checked_too(arm: Arm, assets: Assets) -> None:
    """A new one has no state yet; versions of an asset come with theirs."""
    refused = arm.call("PATCH", ENDPOINT, {"identity": {"type": "SystemAssigned", "tenantId": "other"}})
    assert "'identity.tenantId' is read-only" in message(refused)
    body = arm.deployment(assets, provisioningState="Succeeded")
    refused = arm.call("PUT", f"{ENDPOINT}/deployments/blue", body)
    assert "'properties.provisioningState' is read-only" in message(refused)
    model = assets.models[0].removeprefix(arm.workspace + "/")
    refused = arm.call("PUT", model, changed(arm.get(model), "properties.provisioningState", "Failed"))
    assert "'properties.provisioningState' is read-only" in message(refused)
    container = model.partition("/versions/")[0]
    refused = arm.call("PUT", container, changed(arm.get(container), "properties.nextVersion", "99"))
    assert "'properties.nextVersion' is read-only" in message(refused)
