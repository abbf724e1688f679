"""The workspace and its datastore as the service shows them; most of it is here because clients look for the key."""

from dataclasses import dataclass
from typing import Any

from localazure.arm.documents import Json, SystemData
from localazure.arm.ids import Scope
from localazure.storage import assets
from localazure.storage.blobs import ENDPOINT_SUFFIX


@dataclass(frozen=True)
class Place:
    """Where the workspace is, and whose."""

    scope: Scope
    base_url: str
    location: str
    tenant_id: str
    identity_based: bool
    """Whether clients sign in at the storage account themselves: its datastore has no secrets then."""
    created: SystemData


def workspace(place: Place) -> Json:
    """Return the workspace."""
    scope = place.scope
    return {
        "id": scope.id,
        "name": scope.workspace,
        "type": "Microsoft.MachineLearningServices/workspaces",
        "location": place.location,
        "tags": {},
        "etag": None,
        "kind": "Default",
        "sku": {"name": "Basic", "tier": "Basic"},
        "identity": {
            "type": "SystemAssigned",
            "principalId": scope.guid_of("principal"),
            "tenantId": place.tenant_id,
        },
        "properties": _properties(place),
        "systemData": _with_z(place.created),
    }


def datastore(place: Place, account: str) -> Json:
    """Return the only datastore; `account` is its storage account."""
    created = place.created
    return {
        "id": f"{place.scope.id}/datastores/{assets.DATASTORE}",
        "name": assets.DATASTORE,
        "type": "Microsoft.MachineLearningServices/workspaces/datastores",
        "properties": {
            "description": None,
            "tags": None,
            "properties": None,
            "isDefault": True,
            "credentials": {"credentialsType": "None" if place.identity_based else "AccountKey"},
            "subscriptionId": place.scope.subscription_id,
            "resourceGroup": place.scope.resource_group,
            "datastoreType": "AzureBlob",
            "accountName": account,
            "containerName": assets.CONTAINER,
            "endpoint": ENDPOINT_SUFFIX,
            "protocol": "https",
            "serviceDataAccessAuthIdentity": "WorkspaceSystemAssignedIdentity",
        },
        "systemData": {
            "createdAt": created.created_at,
            "lastModifiedAt": created.last_modified_at,
            "lastModifiedBy": created.last_modified_by,
            "lastModifiedByType": created.last_modified_by_type,
        },
    }


def _properties(place: Place) -> dict[str, Any]:
    scope = place.scope
    around = f"/subscriptions/{scope.subscription_id}/resourceGroups/{scope.resource_group}/providers"
    return {
        "friendlyName": scope.workspace,
        "description": "A workspace of local Azure",
        "storageAccount": f"{scope.id}/storageAccounts/local",
        "keyVault": f"{around}/Microsoft.KeyVault/vaults/local",
        "applicationInsights": f"{around}/Microsoft.Insights/components/local",
        "containerRegistry": f"{around}/Microsoft.ContainerRegistry/registries/local",
        "hbiWorkspace": False,
        "tenantId": place.tenant_id,
        "imageBuildCompute": None,
        "provisioningState": "Succeeded",
        "managedNetwork": {
            "changeableIsolationModes": ["AllowInternetOutbound", "AllowOnlyApprovedOutbound"],
            "isolationMode": "Disabled",
            "enableNetworkMonitor": False,
            "enableFirewallLog": False,
        },
        "allowRoleAssignmentOnRG": False,
        "v1LegacyMode": False,
        "softDeleteEnabled": False,
        "creationTime": _z(place.created.created_at),
        "notebookInfo": {
            "resourceId": scope.guid_of("notebooks").replace("-", ""),
            "fqdn": "notebooks.local.localazure",
            "isPrivateLinkEnabled": False,
            "notebookPreparationError": None,
        },
        "storageHnsEnabled": False,
        "workspaceId": scope.workspace_id,
        "linkedModelInventoryArmId": None,
        "privateLinkCount": 0,
        "publicNetworkAccess": "Enabled",
        "ipAllowlist": [],
        "networkAcls": {"defaultAction": "Allow", "bypass": "", "ipRules": [], "resourceAccessRules": []},
        "discoveryUrl": f"{place.base_url}/discovery",
        "mlFlowTrackingUri": f"azureml://{place.base_url.removeprefix('https://')}/mlflow/v1.0{scope.id}",
        "serverlessComputeSettings": None,
        "EnableSoftwareBillOfMaterials": False,
        "sdkTelemetryAppInsightsKey": scope.guid_of("telemetry"),
        "enableDataIsolation": False,
        "systemDatastoresAuthMode": "identity" if place.identity_based else "accesskey",
        "enableServiceSideCMKEncryption": False,
    }


def _with_z(data: SystemData) -> Json:
    """Return it as workspaces show it: with a Z where other resources have +00:00."""
    return {key: _z(value) if key.endswith("At") else value for key, value in data.as_json().items()}


def _z(moment: str) -> str:
    whole, _, fraction = moment.removesuffix("+00:00").partition(".")
    return f"{whole}.{fraction:0<7}Z"
