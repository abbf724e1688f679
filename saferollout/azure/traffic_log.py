"""An endpoint's traffic log in Log Analytics: one row a request."""

import os
from datetime import datetime
from typing import NamedTuple

from azure.core.credentials import TokenCredential
from azure.monitor.query import LogsQueryClient, LogsQueryPartialResult

from saferollout.azure.access import translated
from saferollout.domain.errors import AzureFailed


class Row(NamedTuple):
    """One scoring request, as the traffic log has it."""

    deployment: str
    status: int
    latency_ms: float
    request_id: str
    client_request_id: str = ""
    """What the caller sent as `x-ms-client-request-id`."""


def read_rows(identity: TokenCredential, workspace_id: str, endpoint: str, start: datetime, end: datetime) -> list[Row]:
    """The requests to an endpoint that Log Analytics' workspace has from `start` up to `end`.

    Raises:
        AzureFailed: Azure refused, failed, did not answer, or returned only a part.
    """
    query = (
        "AmlOnlineEndpointTrafficLog"
        f" | where TimeGenerated >= datetime({start:%Y-%m-%dT%H:%M:%SZ})"
        f" and TimeGenerated < datetime({end:%Y-%m-%dT%H:%M:%SZ}) and EndpointName == '{endpoint}'"
        " | project DeploymentName, ResponseCode, TotalDurationMs, XRequestId, XMSClientRequestId"
    )
    url = os.environ.get("AZURE_MONITOR_ENDPOINT")
    with (
        translated("read the endpoint's traffic log"),
        LogsQueryClient(identity, **({"endpoint": url} if url else {})) as client,
    ):
        answer = client.query_workspace(workspace_id, query, timespan=(start, end))
    if isinstance(answer, LogsQueryPartialResult):
        msg = f"the traffic log returned only a part of {start:%H:%M:%S}: {answer.partial_error}"
        raise AzureFailed(msg, retryable=True)
    return [
        Row(str(deployment), int(status or 0), float(latency_ms or 0), str(request_id), str(client_id))
        for deployment, status, latency_ms, request_id, client_id in answer.tables[0].rows
    ]
