"""Azure Monitor's metrics: requests a minute by deployment and status, for every endpoint on Azure."""

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime, timedelta

from azure.core.credentials import TokenCredential
from azure.monitor.querymetrics import MetricsClient

from saferollout.azure.access import credential, translated
from saferollout.config.sources import WINDOW_S, SourceKind
from saferollout.domain.endpoint import EndpointState
from saferollout.gates.sources.counts import Counts, Ledger, batch_of, failed, users_of
from saferollout.gates.sources.source import Seen
from saferollout.gates.sources.windows import Windows

MINUTE = timedelta(minutes=1)
NAMESPACE = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints"


class AzureMetrics:
    """Users' requests as Azure Monitor counts them, each minute once, when it is complete.

    A minute in which a deployment has no value is a gap, not a minute without errors, and is left out.
    """

    name = "azure_metrics"
    interval_s = float(WINDOW_S[SourceKind.AZURE_METRICS])

    def __init__(self, endpoint: EndpointState, windows: Windows, ledger: Ledger, *, candidate: str, live: str) -> None:
        self._endpoint = endpoint
        self._minutes = windows
        self._ledger = ledger
        self._candidate = candidate
        self._live = live

    async def batches(self) -> AsyncGenerator[Seen, None]:
        """Yield a batch a minute; `AzureFailed` as for every source."""
        with credential() as identity:
            while True:
                await self._minutes.ripe()
                minute = self._minutes.start
                counts = await asyncio.to_thread(self._read, identity, minute)
                left = {name: self._ledger.taken_off(name, minute, found) for name, found in counts.items()}
                self._minutes.done()
                yield Seen(batch_of(left, self._candidate, self._live), users=users_of(left))

    def _read(self, identity: TokenCredential, minute: datetime) -> Mapping[str, Counts]:
        """The counts of a minute by deployment, without those that have none."""
        own = os.environ.get("AZURE_MONITOR_ENDPOINT")  # local Azure, or a cloud of one's own
        region = self._endpoint.location.lower().replace(" ", "")
        url = own or f"https://{region}.metrics.monitor.azure.com"
        audience = {"audience": own} if own else {}
        with translated("read the endpoint's metrics"), MetricsClient(url, identity, **audience) as client:
            (result,) = client.query_resources(
                resource_ids=[self._endpoint.resource_id],
                metric_namespace=NAMESPACE,
                metric_names=["RequestsPerMinute"],
                timespan=(minute, minute + MINUTE),
                granularity=MINUTE,
                aggregations=["Total"],
                filter="deployment eq '*' and statusCode eq '*'",
            )
        counts: dict[str, Counts] = {}
        for series in result.metrics[0].timeseries:
            labels = {name.lower(): value for name, value in series.metadata_values.items()}  # Azure's case varies
            deployment, status = labels["deployment"].lower(), int(labels["statuscode"] or 0)
            for point in series.data:
                if point.total is not None and point.timestamp == minute:
                    found = Counts(point.total, point.total if failed(status) else 0.0)
                    counts[deployment] = counts.get(deployment, Counts()).plus(found)
        return counts
