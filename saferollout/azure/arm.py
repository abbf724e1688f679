"""Azure Resource Manager's own JSON: what is changed in place is written back as it was read, but for the change.

The entities of `azure-ai-ml` do not serve for that: a deployment with a data collector cannot be written back,
durations lose what is below a second, and what the entities do not know is gone.
"""

import os
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from azure.core import AzureClouds
from azure.core.credentials import TokenCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError, map_error
from azure.core.pipeline import Pipeline, PipelineResponse
from azure.core.pipeline.policies import RequestIdPolicy, RetryPolicy, UserAgentPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.core.polling import LROPoller
from azure.core.rest import HttpRequest, HttpResponse
from azure.mgmt.core import ARMPipelineClient
from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy
from azure.mgmt.core.polling.arm_polling import ARMPolling
from azure.mgmt.core.tools import get_arm_endpoints

from saferollout.azure.port import Resource
from saferollout.config.rollout import WorkspaceConfig

API_VERSION = "2025-12-01"
MONITOR_VERSION = "2022-10-01"
POLL_S = 5
"""How often to look at an operation where Azure does not say."""
CONNECT_S, READ_S = 20, 120
"""How long a connection and an answer may take: azure-core would wait five minutes, four times over, for each."""

Resources = list[Resource]
Response = PipelineResponse[HttpRequest, HttpResponse]


class Arm:
    """What is in a workspace, by its path below the workspace.

    Raises:
        AzureError: Azure or the network failed, in any method; all exceptions are those of `azure.core`.
    """

    def __init__(self, identity: TokenCredential, workspace: WorkspaceConfig) -> None:
        base = resource_manager()
        subscription, group, name = (
            quote(part, safe="") for part in (workspace.subscription_id, workspace.resource_group, workspace.name)
        )
        provider = "providers/Microsoft.MachineLearningServices"
        self._provider = f"{base}/subscriptions/{subscription}/{provider}"
        self._group = f"{base}/subscriptions/{subscription}/resourceGroups/{group}"
        self._workspace = f"{self._group}/{provider}/workspaces/{name}"
        sign_in = ARMChallengeAuthenticationPolicy(identity, f"{base}/.default")
        policies: list[Any] = [RequestIdPolicy(), UserAgentPolicy("saferollout"), RetryPolicy(), sign_in]
        self._pipeline: Pipeline[HttpRequest, HttpResponse] = Pipeline(
            RequestsTransport(connection_timeout=CONNECT_S, read_timeout=READ_S), policies
        )
        self._client = ARMPipelineClient[HttpRequest, HttpResponse](base, pipeline=self._pipeline, policies=policies)

    def path_of(self, resource_id: str) -> str:
        """The path below the workspace of a resource with this id; empty for one elsewhere."""
        own = unquote(urlsplit(self._workspace).path) + "/"
        given = resource_id.removeprefix("azureml:")
        return quote(given[len(own) :]) if given.lower().startswith(own.lower()) else ""

    def get(self, path: str = "") -> Resource:
        """The resource; by default the workspace itself."""
        return self._read(self._url(path))

    def list(self, path: str, query: str = "") -> Resources:
        """All resources of a collection; `query` is what is appended to the address."""
        return self._list(self._url(path) + query)

    def list_of_location(self, location: str, path: str) -> Resources:
        """All that Azure Machine Learning lists of a region, such as `usages`, for the whole subscription."""
        region = quote(location.replace(" ", ""), safe="")
        return self._list(f"{self._provider}/locations/{region}/{path}?api-version={API_VERSION}")

    def list_autoscale_settings(self) -> Resources:
        """Azure Monitor's autoscale settings in the workspace's resource group, whatever they are for."""
        return self._list(f"{self._group}/providers/Microsoft.Insights/autoscaleSettings?api-version={MONITOR_VERSION}")

    def _list(self, start: str) -> Resources:
        found: Resources = []
        url: str | None = start
        while url:
            page = self._read(url)
            found += page["value"]
            url = page.get("nextLink")
        return found

    def put(self, path: str, resource: Resource) -> LROPoller[None]:
        """Begin to replace the resource; only what a client may write belongs into it."""
        return self._begin("PUT", path, resource)

    def patch(self, path: str, fields: Resource) -> LROPoller[None]:
        """Begin to replace some fields of the resource."""
        return self._begin("PATCH", path, fields)

    def delete(self, path: str) -> LROPoller[None]:
        """Begin to delete the resource."""
        return self._begin("DELETE", path)

    def post(self, path: str) -> Resource:
        """What an action that changes nothing answers."""
        return self._read(self._url(path), "POST")

    def _begin(self, method: str, path: str, body: Resource | None = None) -> LROPoller[None]:
        answer = self._answer(HttpRequest(method, self._url(path), json=body))
        return LROPoller(self._client, answer, lambda _: None, ARMPolling(POLL_S))

    def _read(self, url: str, method: str = "GET") -> Resource:
        shown: Resource = self._answer(HttpRequest(method, url)).http_response.json()
        return shown

    def _answer(self, request: HttpRequest) -> Response:
        answer = self._pipeline.run(request, stream=False)
        response = answer.http_response
        if response.status_code >= 300:
            map_error(response.status_code, response, {401: ClientAuthenticationError, 404: ResourceNotFoundError})
            raise HttpResponseError(response=response)
        return answer

    def _url(self, path: str) -> str:
        return f"{self._workspace}/{path}".rstrip("/") + f"?api-version={API_VERSION}"


def resource_manager() -> str:
    """Where Azure is managed: the cloud that `azure-ai-ml` takes from the environment."""
    if metadata := os.environ.get("ARM_CLOUD_METADATA_URL"):
        return f"https://{urlsplit(metadata).netloc}"
    clouds = {"AzureChinaCloud": AzureClouds.AZURE_CHINA_CLOUD, "AzureUSGovernment": AzureClouds.AZURE_US_GOVERNMENT}
    cloud = clouds.get(os.environ.get("AZUREML_CURRENT_CLOUD", ""), AzureClouds.AZURE_PUBLIC_CLOUD)
    return str(get_arm_endpoints(cloud)["resource_manager"]).rstrip("/")
