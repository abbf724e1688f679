"""Probes: the recorded requests replayed to candidate and live at the same pace, each pinned."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Iterator, Sequence

from saferollout.config import DriftConfig
from saferollout.drift import disagreement_of
from saferollout.errors import AzureFailed
from saferollout.judge import Batch
from saferollout.recorded import RecordedRequest
from saferollout.scoring import Answer, Scorer
from saferollout.source import Seen

BATCH_S = 1.0


class Probes:
    """A source that works everywhere: it needs no traffic, no metrics and no logs."""

    def __init__(
        self,
        scorer: Scorer,
        requests: Sequence[RecordedRequest],
        *,
        candidate: str,
        live: str,
        requests_per_s: float,
        max_in_flight: int = 1,
        drift: DriftConfig | None = None,
    ) -> None:
        self._scorer = scorer
        self._requests = requests
        self._candidate = candidate
        self._live = live
        self._interval_s = 1 / requests_per_s
        self._drift = drift
        self._max_in_flight = max_in_flight  # a slow deployment slows its probes down instead of drowning in them

    async def batches(self) -> AsyncGenerator[Seen, None]:
        """Send without end, and count what came back in each second, if only to say that nothing did.

        Raises AzureFailed when the endpoint does not take the key: that says nothing about the candidate.
        """
        requests = itertools.cycle(self._requests)
        flying: set[asyncio.Task[tuple[Answer, Answer]]] = set()
        try:
            while True:
                yield _count(await self._send_for(BATCH_S, requests, flying), self._drift)
        finally:
            for task in flying:
                task.cancel()
            await asyncio.gather(*flying, return_exceptions=True)

    async def _send_for(
        self, duration_s: float, requests: Iterator[RecordedRequest], flying: set[asyncio.Task[tuple[Answer, Answer]]]
    ) -> list[tuple[Answer, Answer]]:
        """Send at the set pace for a while; return the pairs that landed meanwhile and keep the others flying."""
        begun = next_at = time.monotonic()
        landed: list[tuple[Answer, Answer]] = []
        while time.monotonic() < begun + duration_s:
            if len(flying) < self._max_in_flight:
                flying.add(asyncio.create_task(self._pair(next(requests))))
            next_at = max(next_at + self._interval_s, time.monotonic())
            await asyncio.wait(flying, timeout=next_at - time.monotonic(), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))
            done = {task for task in flying if task.done()}
            flying -= done
            landed += [task.result() for task in done]
        return landed

    async def _pair(self, request: RecordedRequest) -> tuple[Answer, Answer]:
        return await asyncio.gather(
            self._scorer.score(request.request, deployment=self._candidate),
            self._scorer.score(request.request, deployment=self._live),
        )


def _count(pairs: Sequence[tuple[Answer, Answer]], drift: DriftConfig | None) -> Seen:
    if any(answer.status == 401 for pair in pairs for answer in pair):
        msg = "the endpoint does not accept its own key any more (401)"
        raise AzureFailed(msg, status=401, retryable=True)
    candidate_errors = [candidate.error for candidate, _ in pairs if not candidate.ok]
    batch = Batch(
        candidate_requests=len(pairs),
        candidate_errors=len(candidate_errors),
        live_requests=len(pairs),
        live_errors=sum(not live.ok for _, live in pairs),
        disagreements=_disagreements(pairs, drift) if drift else (),
        duration_s=BATCH_S,
    )
    return Seen(batch, example=candidate_errors[0] if candidate_errors else "")


def _disagreements(pairs: Sequence[tuple[Answer, Answer]], drift: DriftConfig) -> list[float]:
    """Of the pairs that both answered: an error is counted as an error, not as a wrong answer."""
    both = [(candidate.body, live.body) for candidate, live in pairs if candidate.ok and live.ok]
    measured = [disagreement_of(drift, candidate, live) for candidate, live in both]
    return [value for value in measured if value is not None]
