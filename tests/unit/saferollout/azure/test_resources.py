"""What is written back of a resource that was read."""

from typing import Any

from saferollout.azure.resources import endpoint_state, vm_sizes, writable
from saferollout.domain.vm_size import VmSize

SHOWN = {
    "id": "/subscriptions/s/resourceGroups/g/providers/…/onlineEndpoints/e",
    "name": "e",
    "type": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints",
    "properties": {
        "description": None,
        "properties": {
            "azureml.onlineendpointid": "/subscriptions/s/…/onlineendpoints/e",
            "AzureAsyncOperationUri": "https://management.azure.com/…",
            "team": "fraud",
        },
        "scoringUri": "https://e.eastus.inference.ml.azure.com/score",
        "swaggerUri": "https://e.eastus.inference.ml.azure.com/swagger.json",
        "authMode": "Key",
        "provisioningState": "Succeeded",
        "compute": None,
        "traffic": {"blue": 100},
        "mirrorTraffic": {},
        "publicNetworkAccess": "Disabled",
        "somethingNew": {"a": 1},
    },
    "systemData": {"createdAt": "2025-02-25T10:00:00+00:00"},
    "tags": {"team": "fraud"},
    "location": "eastus",
    "kind": "Managed",
    "identity": {
        "type": "SystemAssigned,UserAssigned",
        "principalId": "p",
        "tenantId": "t",
        "userAssignedIdentities": {"/subscriptions/s/…/mine": {"principalId": "q", "clientId": "c"}},
    },
}
"""An endpoint as recorded of the real service, with a key of the user's own and one that nobody knows yet."""


def test_only_what_a_client_may_write_is_written() -> None:
    """What the service sets itself is left out; the user's own keys, and those that are not known, stay."""
    assert writable(SHOWN) == {
        "properties": {
            "properties": {"team": "fraud"},
            "authMode": "Key",
            "traffic": {"blue": 100},
            "mirrorTraffic": {},
            "publicNetworkAccess": "Disabled",
            "somethingNew": {"a": 1},
        },
        "tags": {"team": "fraud"},
        "location": "eastus",
        "kind": "Managed",
        "identity": {
            "type": "SystemAssigned,UserAssigned",
            "userAssignedIdentities": {"/subscriptions/s/…/mine": {}},
        },
    }
    assert SHOWN["properties"]["provisioningState"] == "Succeeded"  # type: ignore[index]  # what was read is untouched


def test_the_quota_of_a_size_is_that_of_its_family() -> None:
    """Not that of low-priority machines, nor of a workspace; what Azure shows only in part is not known."""
    provider = "/subscriptions/s/providers/Microsoft.MachineLearningServices/locations/eastus"

    def usage(family: str, limit: int | None, where: str = provider, kind: str = "usages") -> dict[str, Any]:
        return {"id": f"{where}/usages/x", "type": kind, "currentValue": 9, "limit": limit, "name": {"value": family}}

    usages: list[dict[str, Any]] = [
        usage("standardDSv2Family", 40),
        usage("standardDSv2Family", 1, kind="lowPriorityCores/usages"),
        usage("standardDSv2Family", 2, where="/subscriptions/s/resourceGroups/g/providers/…/workspaces/w"),
        usage("STANDARDFSv2Family", -1),
        usage("standardESv3Family", None),
        {"currentValue": 3, "limit": 200},
    ]
    sizes: list[dict[str, Any]] = [
        {"name": "Standard_DS3_v2", "family": "StandardDSv2Family", "vCPUs": 4},
        {"name": "Standard_F4s_v2", "family": "standardFSv2Family", "vCPUs": 4},
        {"name": "Standard_E4s_v3", "family": "standardESv3Family", "vCPUs": 4},
        {"name": "Standard_DS4_v2", "family": "standardDSv2Family"},
        {"name": "Standard_NC6", "family": "standardNCFamily", "vCPUs": 6},
    ]

    assert vm_sizes(sizes, usages) == {
        "standard_ds3_v2": VmSize(name="Standard_DS3_v2", family="StandardDSv2Family", cores=4, used=9, limit=40),
        "standard_f4s_v2": VmSize(name="Standard_F4s_v2", family="standardFSv2Family", cores=4, used=9, limit=None),
    }


def test_for_some_sizes_nothing_is_held_in_reserve() -> None:
    """Those that Azure exempts; of all others a fifth, rounded up."""
    size = VmSize(name="Standard_NC24ads_A100_v4", family="f", cores=24, used=0, limit=None)
    assert size.cores_of(5) == 5 * 24
    assert [size.model_copy(update={"name": "Standard_X"}).cores_of(count) for count in (1, 5, 10)] == [48, 144, 288]


def test_what_azure_adds_later_changes_no_digest() -> None:
    """Nor is the number of instances, nor a tag."""
    own = {"LIMIT": "3"}
    given = {"model": "m", "livenessProbe": {}, "instanceType": "Standard_DS3_v2", "environmentVariables": own}
    shown = {"name": "green", "sku": {"capacity": 1}, "tags": {}, "properties": given}
    later = shown | {"sku": {"capacity": 3}, "tags": {"a": "b"}}
    added = {
        "AZUREML_MODEL_DIR": "/var/azureml-app/azureml-models/m/1",
        "AZUREML_ENTRY_SCRIPT": "score.py",
        "AML_APP_ROOT": "/var/azureml-app/code",
    }
    later["properties"] = {
        "model": "m",
        "provisioningState": "Succeeded",
        "environmentVariables": own | added,
        "own": None,
        "instanceType": "STANDARD_DS3_V2",
    }
    endpoint = {"name": "shop", "properties": {}}

    digests = {endpoint_state(endpoint, [one]).deployments["green"].digest for one in (shown, later)}

    assert len(digests) == 1
