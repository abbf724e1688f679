"""The traffic log in Log Analytics: one row a request, where the endpoint's diagnostic settings send it there."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence

from saferollout.azure.access import credential
from saferollout.azure.traffic_log import Row, read_rows
from saferollout.config.sources import WINDOW_S, SourceKind
from saferollout.gates.scoring import OWN_REQUESTS
from saferollout.gates.sources.counts import Counts, batch_of, failed
from saferollout.gates.sources.source import Seen
from saferollout.gates.sources.windows import Windows
from saferollout.judge import Batch


class TrafficLog:
    """Users' requests as the endpoint logged them, without the recorded ones, which are marked.

    `mirrored` compares the candidate's requests with the same ones on the live deployment only, where request ids
    say which those are. `with_latencies` is off where another source has them: two clocks do not compare.
    """

    name = "traffic_log"
    interval_s = float(WINDOW_S[SourceKind.TRAFFIC_LOG])

    def __init__(
        self,
        endpoint: str,
        workspace_id: str,
        windows: Windows,
        *,
        candidate: str,
        live: str,
        with_latencies: bool = True,
        mirrored: bool = False,
    ) -> None:
        self._endpoint = endpoint
        self._workspace_id = workspace_id
        self._windows = windows
        self._candidate = candidate
        self._live = live
        self._with_latencies = with_latencies
        self._mirrored = mirrored

    async def batches(self) -> AsyncGenerator[Seen, None]:
        """Yield a batch a window; `AzureFailed` as for every source."""
        with credential() as identity:
            while True:
                await self._windows.ripe()
                start, end = self._windows.start, self._windows.end
                read = await asyncio.to_thread(read_rows, identity, self._workspace_id, self._endpoint, start, end)
                rows = [row for row in read if not row.client_request_id.startswith(OWN_REQUESTS)]
                self._windows.done()
                yield Seen(self.counted(rows), users=Counter(row.deployment for row in rows))

    def counted(self, rows: Sequence[Row]) -> Batch:
        """The rows of one window as a batch."""
        candidate = [row for row in rows if row.deployment == self._candidate]
        live = [row for row in rows if row.deployment == self._live]
        if self._mirrored and (both := {row.request_id for row in candidate} & {row.request_id for row in live}):
            candidate, live = ([row for row in arm if row.request_id in both] for arm in (candidate, live))
        counts = {
            name: Counts(len(arm), sum(failed(row.status) for row in arm))
            for name, arm in ((self._candidate, candidate), (self._live, live))
        }
        batch = batch_of(counts, self._candidate, self._live)
        if not (self._with_latencies and batch.candidate_requests):
            return batch
        answered = ([row.latency_ms for row in arm if not failed(row.status)] for arm in (candidate, live))
        candidate_ms, live_ms = answered
        return Batch(*counts[self._candidate], *counts[self._live], candidate_ms, live_ms)
