"""What is written back of a resource that was read."""

from saferollout.azure.resources import writable

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
