"""Endpoints and deployments as the service shows them: with what it adds, and as the request's `api-version` has it."""

import re
from typing import Any

from localazure.arm.documents import Json
from localazure.arm.errors import ArmError
from localazure.arm.operations import Operations
from localazure.compute.properties import DeploymentProperties
from localazure.compute.runtime import Runtime
from localazure.core.clock import now
from localazure.resources.deployment_documents import Deployment, DeploymentState
from localazure.resources.endpoint_documents import Endpoint, EndpointState
from localazure.storage.assets import Assets

OPERATION = "AzureAsyncOperationUri"
"""Where a resource shows its last operation, among its properties' properties."""
_ENDPOINT_ID = "azureml.onlineendpointid"
_APP = "/var/azureml-app"
_WITH_COLLECTOR = "2023-04"
"""The first `api-version` whose deployments have a data collector; those before have `privateNetworkConnection`."""
_WITH_STARTUP = "2024-10"


def without_own(properties: dict[str, Any]) -> dict[str, Any]:
    """Return properties without those that are the service's own: clients send back what they read."""
    return {name: value for name, value in properties.items() if name not in (_ENDPOINT_ID, OPERATION)}


class Views:
    """What clients see of what is kept."""

    def __init__(self, operations: Operations, runtime: Runtime, assets: Assets) -> None:
        self._operations = operations
        self._runtime = runtime
        self._assets = assets

    def endpoint(self, state: EndpointState, version: str) -> Endpoint:
        """Return the endpoint as a request of this `api-version` sees it.

        It has no addresses before it has been created, and while it is changed, its traffic is still the one before.
        """
        endpoint = state.resource
        root = self._runtime.address(endpoint.name)
        shown: dict[str, Any] = {"scoring_uri": None, "swagger_uri": None}
        if endpoint.properties.provisioning_state != "Creating":
            shown = {"scoring_uri": root + (state.scored_at or "/score"), "swagger_uri": root + "/swagger.json"}
        own = {_ENDPOINT_ID: endpoint.id.lower(), **self._operation(state.operation, version)}
        shown["properties"] = without_own(endpoint.properties.properties) | own
        if state.previous:
            before = state.previous.resource.properties
            shown |= {"traffic": before.traffic, "mirror_traffic": before.mirror_traffic}
        properties = endpoint.properties.model_copy(update=shown)
        return endpoint.model_copy(update={"properties": properties, "system_data": endpoint.system_data.brief()})

    def deployment(self, state: DeploymentState, version: str) -> Deployment:
        """Return the deployment as a request of this `api-version` sees it."""
        deployment, kept = state.resource, state.resource.properties
        shown: dict[str, Any] = {
            "code_configuration": kept.code_configuration,
            "environment_id": kept.environment_id,
            "properties": without_own(kept.properties) | self._operation(state.operation, version),
        }
        hidden = set()
        if state.serving:
            shown["environment_variables"] = kept.environment_variables | self.own_variables(kept)
        if version < _WITH_COLLECTOR:
            shown["private_network_connection"] = False
            hidden.add("data_collector")
        else:
            shown["data_collector"] = kept.data_collector
        if version < _WITH_STARTUP:
            hidden.add("startup_probe")
        properties = kept.model_copy(update=shown)
        properties.model_fields_set.difference_update(hidden)
        found = deployment.model_copy(update={"properties": properties, "system_data": deployment.system_data.brief()})
        if deployment.identity is None:
            found.model_fields_set.discard("identity")
        return found

    def begun(self, state: DeploymentState, operation: str, version: str, is_new: bool) -> Json:
        """Return what answers the PUT of a deployment: of one that existed, some of it is missing for the moment."""
        body = self.deployment(state, version).as_json()
        body["properties"]["properties"] |= self._operation(operation, version)
        body["properties"]["provisioningState"] = "Creating"
        if not is_new:
            body["properties"]["instanceType"] = None
            body["systemData"] = {"lastModifiedAt": now()}
        return body

    def own_variables(self, properties: DeploymentProperties) -> dict[str, str]:
        """Return the environment variables that a deployment with code shows, though nobody wrote them."""
        code = properties.code_configuration
        if code is None:
            return {}
        own = {"AZUREML_ENTRY_SCRIPT": code.scoring_script}
        if model := re.search(r"/models/([^/]+)/versions/([^/]+)$", properties.model or ""):
            models = properties.model_mount_path or f"{_APP}/azureml-models"
            own["AZUREML_MODEL_DIR"] = f"{models}/{model[1]}/{model[2]}"
        try:
            uri = self._assets.code(code.code_id).properties.code_uri or ""
        except ArmError:  # the code has been deleted since
            return own
        return own | {"AML_APP_ROOT": f"{_APP}/{uri.rstrip('/').rpartition('/')[2]}"}

    def of_client(self, given: dict[str, Any], *shown: DeploymentProperties) -> dict[str, Any]:
        """Return environment variables without the service's own: clients send back what they read.

        Args:
            given: What was sent.
            shown: The deployments whose variables may be among them.
        """
        own = [self.own_variables(properties).items() for properties in shown]
        return {name: value for name, value in given.items() if not any((name, value) in found for found in own)}

    def _operation(self, identifier: str | None, version: str) -> dict[str, str]:
        return {OPERATION: self._operations.address(identifier, version)} if identifier else {}
