"""Azure Monitor's metrics: requests a minute by deployment and status, for every endpoint on Azure."""

import asyncio
from collections.abc import AsyncGenerator, Iterable

from saferollout.azure.access import credential
from saferollout.azure.metrics import RequestCount, count_requests
from saferollout.config.sources import WINDOW_S, SourceKind
from saferollout.domain.endpoint import EndpointState
from saferollout.gates.sources.counts import Counts, Ledger, batch_of, failed, users_of
from saferollout.gates.sources.source import Seen
from saferollout.gates.sources.windows import Windows


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
                found = await asyncio.to_thread(count_requests, identity, self._endpoint, minute)
                left = {name: self._ledger.taken_off(name, minute, counts) for name, counts in counts_of(found).items()}
                self._minutes.done()
                yield Seen(batch_of(left, self._candidate, self._live), users=users_of(left))


def counts_of(found: Iterable[RequestCount]) -> dict[str, Counts]:
    """Requests and failures by deployment."""
    counts: dict[str, Counts] = {}
    for deployment, status, requests in found:
        here = Counts(requests, requests if failed(status) else 0.0)
        counts[deployment] = counts.get(deployment, Counts()).plus(here)
    return counts
