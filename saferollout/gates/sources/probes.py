"""Probes: the recorded requests replayed to candidate and live at the same pace, each pinned."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from typing import Any, NamedTuple

from saferollout.config.judge import JudgeConfig
from saferollout.config.recorded_requests import RecordedRequest, count_distinct
from saferollout.domain.errors import AzureFailed
from saferollout.gates.answer_comparison import Answers
from saferollout.gates.answer_shape import ENOUGH, AnswerCheck
from saferollout.gates.scoring import Response, Scorer, check_key
from saferollout.gates.sources.counts import Ledger
from saferollout.gates.sources.source import Seen
from saferollout.gates.sources.windows import utc_now
from saferollout.judge import Batch

BATCH_S = 1.0


class Pair(NamedTuple):
    """A recorded request with both deployments' answers."""

    request: RecordedRequest
    candidate: Response
    live: Response


class Probes:
    """A source that works everywhere: it needs no traffic, no metrics and no logs.

    They leave the deployments to the users: no more are on the way at once than the smaller deployment has
    instances, and the pace falls below the configured one where they would keep a deployment busy for more than
    `capacity_share` of its time.
    """

    name = "probes"
    interval_s = BATCH_S

    def __init__(
        self,
        connect: Callable[[], Awaitable[Scorer]],
        requests: Sequence[RecordedRequest],
        config: JudgeConfig,
        *,
        candidate: str,
        live: str,
        instances: int = 1,
        ledger: Ledger | None = None,
        answer_schema: dict[str, Any] | None = None,
    ) -> None:
        """`instances` is the smaller deployment's number; `ledger` notes what was sent, for those who count all.

        An answer that does not fit `answer_schema` is an error; without a schema, one that is not like live's.
        """
        self._connect = connect
        self._requests = requests
        self._distinct = count_distinct(requests)
        self._answers = Answers(config)
        self._check = AnswerCheck(answer_schema, enough=min(ENOUGH, len(requests)))
        self._held: list[Pair] = []
        """Pairs with what looks like an error, until it is known what is usual."""
        self._candidate = candidate
        self._live = live
        self._interval_s = 1 / config.requests_per_s
        self._instances = instances
        self._capacity = instances * config.capacity_share
        self._busy_s: float | None = None
        self._sent_at = 0.0
        self._ledger = ledger or Ledger()

    async def batches(self) -> AsyncGenerator[Seen, None]:
        """Send without end, and count what came back in each second, if only to say that nothing did.

        `AzureFailed` when the endpoint cannot be reached, or does not take the key: that says nothing about the
        candidate.

        Yields:
            What came back in a second.
        """
        requests = itertools.cycle(self._requests)
        flying: set[asyncio.Task[Pair]] = set()
        self._sent_at = time.monotonic() - self._pace_s  # the first one is due
        async with await self._connect() as scorer:
            try:
                while True:
                    yield self._count(await self._send_for(BATCH_S, scorer, requests, flying))
            finally:
                for task in flying:
                    task.cancel()
                await asyncio.gather(*flying, return_exceptions=True)

    async def _send_for(
        self, duration_s: float, scorer: Scorer, requests: Iterator[RecordedRequest], flying: set[asyncio.Task[Pair]]
    ) -> list[Pair]:
        """Send at the set pace for a while; return the pairs that landed meanwhile and keep the others flying."""
        end = time.monotonic() + duration_s
        landed: list[Pair] = []
        while (now := time.monotonic()) < end:
            # the first one goes alone: it shows how long one takes
            full = len(flying) >= (1 if self._busy_s is None else self._instances)
            if not full and now >= self._sent_at + self._pace_s:
                flying.add(asyncio.create_task(self._pair(scorer, next(requests))))
                self._sent_at = max(self._sent_at + self._pace_s, now - self._pace_s)
            elif full:
                await asyncio.wait(flying, timeout=end - now, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(min(self._sent_at + self._pace_s, end) - now)
            done = {task for task in flying if task.done()}
            flying -= done
            landed += await asyncio.gather(*done)
        return landed

    @property
    def _pace_s(self) -> float:
        """Seconds from one request to the next."""
        return max(self._interval_s, (self._busy_s or 0.0) / self._capacity)

    async def _pair(self, scorer: Scorer, request: RecordedRequest) -> Pair:
        at = utc_now()
        answers = await asyncio.gather(
            scorer.score(request, deployment=self._candidate),
            scorer.score(request, deployment=self._live),
        )
        for name, answer in zip((self._candidate, self._live), answers, strict=True):
            self._ledger.note(name, at, answer.status)
        slower_s = max(answer.latency_ms for answer in answers) / 1000
        self._busy_s = slower_s if self._busy_s is None else 0.9 * self._busy_s + 0.1 * slower_s
        return Pair(request, *answers)

    def _count(self, pairs: Sequence[Pair]) -> Seen:
        for _, *answers in pairs:
            check_key(answers)
        reached = [pair for pair in pairs if pair.candidate.status or pair.live.status]
        if pairs and not reached:
            msg = f"the endpoint cannot be reached: {pairs[0].live.error}"
            raise AzureFailed(msg, retryable=True)
        judged = self._judged(reached)
        errors = [pair.candidate.error for pair in judged if not pair.candidate.ok]
        # of an error only that it is one counts, not how long it took or what it says
        both = [pair for pair in judged if pair.candidate.ok and pair.live.ok]
        batch = Batch(
            candidate_requests=len(judged),
            candidate_errors=len(errors),
            live_requests=len(judged),
            live_errors=sum(not pair.live.ok for pair in judged),
            candidate_latencies_ms=[pair.candidate.latency_ms for pair in both],
            live_latencies_ms=[pair.live.latency_ms for pair in both],
            duration_s=BATCH_S,
            **self._answers.compared(
                (pair.request.answer, pair.candidate.body, pair.live.body) for pair in both if pair.request.is_compared
            ),
        )
        example = errors[0] if errors else ""
        return Seen(batch, example=example, lacking=self._answers.lacking, distinct=self._distinct)

    def _judged(self, pairs: Sequence[Pair]) -> list[Pair]:
        """The pairs in which an answer that is an error in spite of its status says so, as soon as that is known."""
        if self._check.is_ready:  # both answers are checked before live's teaches, so that neither has an advantage
            return [self._checked_and_learned(pair) for pair in pairs]
        for pair in pairs:
            self._learn(pair)
        waiting = [*self._held, *pairs]
        checked = [self._checked(pair) for pair in waiting]
        sure = [self._check.is_ready or found == pair for pair, found in zip(waiting, checked, strict=True)]
        self._held = [pair for pair, is_sure in zip(waiting, sure, strict=True) if not is_sure]
        return [found for found, is_sure in zip(checked, sure, strict=True) if is_sure]

    def _learn(self, pair: Pair) -> None:
        is_usual = pair.live.ok and pair.request.is_compared
        self._check.learn(pair.request.request, [pair.live.body] if is_usual else [])

    def _checked_and_learned(self, pair: Pair) -> Pair:
        checked = self._checked(pair)
        self._learn(pair)
        return checked

    def _checked(self, pair: Pair) -> Pair:
        def checked(answer: Response, other: Response) -> Response:
            if not answer.ok or not self._check.applies(pair.request.compare):
                return answer
            problem = self._check.problem(pair.request.request, answer.body, [other.body] if other.ok else [])
            said = f"200, but {problem[:120]}: {json.dumps(answer.body)[:80]}"
            return answer.model_copy(update={"error": said}) if problem else answer

        return Pair(pair.request, checked(pair.candidate, pair.live), checked(pair.live, pair.candidate))
