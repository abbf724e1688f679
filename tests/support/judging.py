"""Run the judge on sources that a test makes, or on a real scoring endpoint."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from saferollout.config.judge import JudgeConfig
from saferollout.config.recorded_requests import RecordedRequest
from saferollout.domain.errors import AzureFailed
from saferollout.domain.evidence import Evidence
from saferollout.gates.judging import run_judge
from saferollout.gates.scoring import Scorer
from saferollout.gates.sources.probes import Probes
from saferollout.gates.sources.source import Seen
from saferollout.judge import Batch

REQUESTS = [RecordedRequest(request=number, answer=[1]) for number in range(10)]


LENIENT: dict[str, Any] = {"negligible_error_rate": 0.3, "requests_per_s": 50}
"""Health is shown by few requests."""


class Progress:
    """The progress that was reported."""

    def __init__(self) -> None:
        self.parts: list[float] = []
        self.findings: list[str] = []

    def __call__(self, part: float, finding: str) -> None:
        """Keep what is reported."""
        self.parts.append(part)
        self.findings.append(finding)


class Script:
    """A source that gives the same batch again and again."""

    name = "script"
    interval_s = 1.0

    def __init__(self, requests: int = 10, errors: int = 0, interval_s: float = 0.02) -> None:
        batch = Batch(candidate_requests=requests, candidate_errors=errors, live_requests=requests)
        self.seen = Seen(batch, example="500 oh" if errors else "")
        self.interval_s = interval_s
        self.given = 0
        self.closed = False

    async def batches(self) -> AsyncGenerator[Seen, None]:
        """Yield the same batch every `interval_s`, and note that the judge has closed the source."""
        try:
            while True:
                await asyncio.sleep(self.interval_s)
                self.given += 1
                yield self.seen
        finally:
            self.closed = True


class Broken(Script):
    """A source that fails after each batch, as long as it shall."""

    name = "broken"
    interval_s = 1.0

    def __init__(self, failures: int, error: AzureFailed, **batch: Any) -> None:
        super().__init__(**batch)
        self.failures = failures
        self.error = error
        self.opened = 0

    async def batches(self) -> AsyncGenerator[Seen, None]:
        """Fail as often as it shall, then yield as its parent does."""
        self.opened += 1
        if self.opened <= self.failures:
            raise self.error
        async for seen in super().batches():
            yield seen


THROTTLED = AzureFailed("throttled", status=429, retryable=True)


async def watched(
    *sources: Any, earlier: Evidence | None = None, progress: Progress | None = None, **config: Any
) -> Evidence:
    """Run the judge on sources, with a config that waits for no minimum."""
    judge = JudgeConfig.model_validate({"min_duration_s": 0, "max_duration_s": 30} | config)
    return await run_judge(
        sources, judge, "judge at 10%", earlier=earlier, report=progress or Progress(), retry_delays_s=(0.1, 0.1)
    )


async def probed(
    endpoint: Any,
    candidate: Any,
    earlier: Evidence | None = None,
    live: Any = None,
    progress: Progress | None = None,
    **config: Any,
) -> Evidence:
    """Watch a candidate on a real endpoint beside a live deployment that always answers."""
    endpoint.deployments = {"green": candidate, "blue": live or (lambda _: endpoint.reply(200, [1]))}
    config = {"requests_per_s": 50, "capacity_share": 1, "min_duration_s": 0} | config
    before = asyncio.all_tasks()

    async def connect() -> Scorer:
        return Scorer(endpoint.uri, "secret")

    probes = Probes(connect, REQUESTS, JudgeConfig.model_validate(config), candidate="green", live="blue")
    evidence = await watched(probes, earlier=earlier, progress=progress, **config)
    assert asyncio.all_tasks() - before == set()
    return evidence
