"""Azure Monitor's metrics of an endpoint: the requests of a minute, by deployment and status."""

import os
from datetime import datetime, timedelta
from typing import NamedTuple

from azure.core.credentials import TokenCredential
from azure.monitor.querymetrics import MetricsClient

from saferollout.azure.access import translated
from saferollout.domain.endpoint import EndpointState

MINUTE = timedelta(minutes=1)
NAMESPACE = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints"


class RequestCount(NamedTuple):
    """How many requests a deployment answered with a status."""

    deployment: str
    status: int
    """0 where Azure names none."""
    requests: float


def count_requests(identity: TokenCredential, endpoint: EndpointState, minute: datetime) -> list[RequestCount]:
    """The requests to an endpoint in the minute that begins then; nothing for a deployment that has no value.

    Raises:
        AzureFailed: Azure refused, failed or did not answer.
    """
    own = os.environ.get("AZURE_MONITOR_ENDPOINT")  # local Azure, or a cloud of one's own
    region = endpoint.location.lower().replace(" ", "")
    url = own or f"https://{region}.metrics.monitor.azure.com"
    audience = {"audience": own} if own else {}
    with translated("read the endpoint's metrics"), MetricsClient(url, identity, **audience) as client:
        (result,) = client.query_resources(
            resource_ids=[endpoint.resource_id],
            metric_namespace=NAMESPACE,
            metric_names=["RequestsPerMinute"],
            timespan=(minute, minute + MINUTE),
            granularity=MINUTE,
            aggregations=["Total"],
            filter="deployment eq '*' and statusCode eq '*'",
        )
    counts: list[RequestCount] = []
    for series in result.metrics[0].timeseries:
        labels = {name.lower(): value for name, value in series.metadata_values.items()}  # Azure's case varies
        deployment, status = labels["deployment"].lower(), int(labels["statuscode"] or 0)
        totals = (point.total for point in series.data if point.timestamp == minute)
        counts.extend(RequestCount(deployment, status, total) for total in totals if total is not None)
    return counts
