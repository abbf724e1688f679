"""Liveness and readiness: asking an instance again and again whether it is well."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self

import httpx

from localazure.arm.durations import duration_s
from localazure.compute.properties import ProbeSettings
from localazure.core.certificates import TRUST_NOBODY
from localazure.core.clock import Clock

POLL_S = 0.1


@dataclass(frozen=True)
class Probe:
    """How often an instance is asked, and how many answers in a row make it well or unwell."""

    initial_delay_s: float = 10
    period_s: float = 10
    timeout_s: float = 2
    success_threshold: int = 1
    failure_threshold: int = 30

    @classmethod
    def parse(cls, settings: ProbeSettings) -> Self:
        """Return what a deployment's settings say."""
        return cls(
            duration_s(settings.initial_delay),
            duration_s(settings.period),
            duration_s(settings.timeout),
            settings.success_threshold,
            settings.failure_threshold,
        )

    @property
    def patience_s(self) -> float:
        """How long an instance may take to become well for the first time."""
        return self.initial_delay_s + self.period_s * self.failure_threshold

    async def pass_once(self, url: str, clock: Clock) -> None:
        """Ask until the instance is well for the first time."""
        async with self._client() as client:
            while not await _passes(client, url):
                await clock.sleep(POLL_S)

    async def changes(self, url: str, clock: Clock) -> AsyncIterator[bool]:
        """Ask for ever.

        Yields:
            False when the instance, which is well now, has become unwell; True when it is well again.
        """
        well, against = True, 0
        async with self._client() as client:
            while True:
                await clock.sleep(self.period_s)
                against = 0 if await _passes(client, url) == well else against + 1
                if against >= (self.failure_threshold if well else self.success_threshold):
                    well, against = not well, 0
                    yield well

    def _client(self) -> httpx.AsyncClient:
        headers = {"Connection": "close"}
        return httpx.AsyncClient(trust_env=False, verify=TRUST_NOBODY, timeout=self.timeout_s, headers=headers)


async def _passes(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).is_success
    except httpx.HTTPError:
        return False
