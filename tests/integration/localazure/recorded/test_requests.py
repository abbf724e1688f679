"""What the rollout itself sends, against what is recorded of the SDK."""

import json
from pathlib import Path
from typing import Any

from saferollout.azure.client import Client
from saferollout.azure.port import Resource
from saferollout.azure.workspace import Workspace
from saferollout.config.project import resolve_workspace
from tests.support.localazure.arm import Arm, Assets

FACTS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("facts.json").read_text())["facts"]
NAME = "requested"
OF_USERS = {"tags", "properties.properties", "properties.traffic", "properties.mirrorTraffic"}
"""Whose keys are the user's own."""
KEPT = {"kind", "properties.publicNetworkAccess"}
"""A PUT replaces the whole endpoint: what the SDK leaves out would be as it is by default again."""


class Noted(Client):
    """The rollout's own client; it keeps what it puts."""

    def __init__(self) -> None:
        super().__init__(resolve_workspace(None))
        self.put: list[Resource] = []

    def put_endpoint(self, endpoint: str, resource: Resource) -> None:
        """See `Client`."""
        self.put.append(resource)
        super().put_endpoint(endpoint, resource)


def places(body: dict[str, Any], before: str = "") -> set[str]:
    """Where the body has values, but for what users name."""
    found = set()
    for name, value in body.items():
        place = before + name
        within = isinstance(value, dict) and place not in OF_USERS
        found |= places(value, f"{place}.") if within else {place}
    return found


def test_an_endpoint_is_updated_as_the_sdk_does(arm: Arm, assets: Assets) -> None:
    """The same properties, and of what the service shows only what would be lost otherwise; the user's own stay."""
    (recorded,) = (fact["request"] for fact in FACTS if fact["operation"] == "endpoint update: traffic")
    arm.endpoint(NAME, publicNetworkAccess="Disabled", properties={"team": "fraud"})
    arm.deploy(NAME, "blue", assets)
    client = Noted()
    Workspace(client).update_endpoint(NAME, traffic={"blue": 100}, tags=lambda tags: tags | {"by": "test"})
    (put,) = client.put
    assert places(put) == places(recorded) | KEPT
    assert put["identity"] == {"type": recorded["identity"]["type"].removeprefix("=")}
    assert put["properties"]["properties"] == {"team": "fraud"}
    assert (put["tags"], put["properties"]["traffic"]) == ({"by": "test"}, {"blue": 100})
    assert arm.get(f"onlineEndpoints/{NAME}")["properties"]["publicNetworkAccess"] == "Disabled"
    arm.run("DELETE", f"onlineEndpoints/{NAME}")
