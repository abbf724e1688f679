"""`up` on what an older version of local Azure has kept."""

import json
from pathlib import Path

from localazure.core.store import Store
from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, wait_for
from tests.support.localazure.sdk import SUPPORT, register


def test_a_state_of_an_older_version_is_read(tmp_path: Path) -> None:
    """What served serves again, a change that was under way ends, and operations can be asked for.

    In it, `effective` is left from a change that has ended, nothing says when assets were registered, and operations do
    not say what they change.
    """
    with LocalAzure(tmp_path, timing="instant") as azure:
        register(azure.environ)
        subscription = azure.environ["AZURE_SUBSCRIPTION_ID"]
    older = (SUPPORT / "older_state.json").read_text().replace("SUBSCRIPTION", subscription)
    store = Store(tmp_path / "state.sqlite")
    for kind, documents in json.loads(older).items():
        for key, document in documents.items():
            store.put(kind, key, document)
    store.close()
    with LocalAzure(tmp_path, timing="instant") as azure, Arm(azure.environ) as arm:
        kept = json.loads(older)["endpoint"]["shop"]["resource"]
        found = arm.get("onlineEndpoints/shop")
        assert (
            found["properties"].items()
            >= {**kept["properties"], "properties": found["properties"]["properties"]}.items()
        )
        assert found["properties"]["properties"].items() >= kept["properties"]["properties"].items()
        assert found["systemData"].items() <= kept["systemData"].items()
        assert arm.key("shop") == "a" * 64
        wait_for(lambda: arm.score("shop", {"x": 1}).status_code, lambda seen: seen == 200)
        blue = "onlineEndpoints/shop/deployments/blue"
        of_blue = json.loads(older)["deployment"]["shop/blue"]["resource"]["properties"]
        of_blue.pop("environmentVariables")  # which the service adds to
        wait_for(lambda: arm.get(blue)["properties"].items() >= of_blue.items())
        wait_for(lambda: arm.get("onlineEndpoints/moving")["properties"]["provisioningState"] == "Succeeded")
        assert arm.get("onlineEndpoints/moving")["properties"]["description"] == "new"
        statuses = f"/subscriptions/{subscription}/providers/Microsoft.MachineLearningServices/locations/local"
        for name, status in (("ended", "Succeeded"), ("interrupted", "Failed")):
            answer = arm.http.get(f"{statuses}/mfeOperationsStatus/{name}").json()
            assert (answer["status"], answer["startTime"]) == (status, "2026-01-01T00:00:00.000000Z")
        assert arm.run("PUT", "onlineEndpoints/shop", {"properties": {"authMode": "Key"}})["status"] == "Succeeded"
