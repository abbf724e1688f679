"""Prometheus: any counts by deployment that it can be asked for, for endpoints on Kubernetes."""

import os
from collections.abc import AsyncGenerator
from datetime import datetime

import httpx

from saferollout.config.sources import WINDOW_S, SourceConfig, SourceKind
from saferollout.domain.errors import AzureFailed
from saferollout.gates.sources.counts import Counts, Ledger, batch_of, users_of
from saferollout.gates.sources.source import Seen
from saferollout.gates.sources.windows import Windows

TIMEOUT_S = 30


class Prometheus:
    """Users' requests as two queries count them: requests and errors of a minute, each by deployment.

    They are evaluated at the end of each minute, so they should look back over one: `increase(…[1m])`. A
    deployment without a value is a gap.
    """

    name = "prometheus"
    interval_s = float(WINDOW_S[SourceKind.PROMETHEUS])

    def __init__(self, config: SourceConfig, windows: Windows, ledger: Ledger, *, candidate: str, live: str) -> None:
        self._config = config
        self._minutes = windows
        self._ledger = ledger
        self._candidate = candidate
        self._live = live

    async def batches(self) -> AsyncGenerator[Seen, None]:
        """Yield a batch a minute; `AzureFailed` as for every source."""
        variable = self._config.token_env
        headers = {"Authorization": f"Bearer {os.environ[variable]}"} if variable else {}
        url = f"{self._config.url}".rstrip("/") + "/api/v1/"
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT_S) as client:
            while True:
                await self._minutes.ripe()
                requests = await self._ask(client, str(self._config.requests), self._minutes.end)
                errors = await self._ask(client, str(self._config.errors), self._minutes.end)
                counts = {
                    name: self._ledger.taken_off(
                        name, self._minutes.start, Counts(count, min(errors.get(name, 0.0), count))
                    )
                    for name, count in requests.items()
                }
                self._minutes.done()
                yield Seen(batch_of(counts, self._candidate, self._live), users=users_of(counts))

    async def _ask(self, client: httpx.AsyncClient, query: str, at: datetime) -> dict[str, float]:
        """Return a value by deployment; what has none, or is not a number, is not there.

        Raises:
            AzureFailed: Prometheus does not answer, or not as it should.
        """
        try:
            response = await client.get("query", params={"query": query, "time": at.timestamp()})
        except httpx.HTTPError as error:
            msg = f"no connection to Prometheus: {type(error).__name__}: {error}".strip(": ")
            raise AzureFailed(msg, retryable=True) from error
        status = response.status_code
        try:
            answer = response.json()
        except ValueError:
            answer = {}
        if status != 200 or answer.get("status") != "success":
            reason = answer.get("error") or " ".join(response.text.split())[:200]
            msg = f"Prometheus refused a query ({status}): {reason}"
            raise AzureFailed(msg, status=status, retryable=status == 429 or status >= 500)
        if answer["data"]["resultType"] != "vector":
            msg = f"Prometheus gave a {answer['data']['resultType']}, not a value by {self._config.label}"
            raise AzureFailed(msg, status=status)
        values: dict[str, float] = {}
        for sample in answer["data"]["result"]:
            value = float(sample["value"][1])
            if value == value and (name := sample["metric"].get(self._config.label)):  # not NaN
                values[name] = values.get(name, 0.0) + max(value, 0.0)
        return values
