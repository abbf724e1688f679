"""Arrival: whether users are answered by the deployments that the traffic says.

Azure shows a change of traffic before all of its gateways follow it. An answer to a request that is not pinned names
the deployment that gave it, in the header `azureml-model-deployment`: seen in recordings of the real service, but not
documented, so it is used where it is there and never required.
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum

from saferollout.config.recorded_requests import RecordedRequest
from saferollout.domain.endpoint import Value
from saferollout.domain.errors import AzureFailed, GateFailed
from saferollout.gates.scoring import Scorer, check_key
from saferollout.judge.split import Arrival

QUICK_REQUESTS, QUICK_PACE_S, SLOW_PACE_S = 400, 0.02, 1.0
"""One request at a time: at first quickly, for the change mostly is there at once; then there is no hurry."""
LIMIT_S = 300.0
"""How long gateways may take to follow; they mostly take well below a minute."""
NAMELESS = 5
"""After so many answers without a name, and none with one, no more are asked for."""


class Sight(StrEnum):
    """What the answers showed."""

    AS_SET = "as set"
    NOT_NAMED = "not named"
    NOT_YET = "not yet"
    NO_ANSWER = "no answer"


class Served(Value):
    """By whom users are served after a change of traffic."""

    sight: Sight
    counts: dict[str, int]
    """The answers by deployment, since the change may be in effect."""
    requests: int
    """How many requests were sent."""
    duration_s: float
    """How long it took after Azure showed the change."""

    @property
    def words(self) -> str:
        """The finding, in a sentence."""
        counts = ", ".join(f"{name} gave {count}" for name, count in sorted(self.counts.items())) or "nobody gave any"
        match self.sight:
            case Sight.AS_SET:
                return (
                    f"users are served as set, seen {self.duration_s:.1f} s after Azure showed it (answers: {counts})"
                )
            case Sight.NOT_NAMED:
                return "not verified where users are: the endpoint's answers do not name their deployment"
            case Sight.NOT_YET:
                return (
                    f"users are not served as set: {self.requests} requests in {self.duration_s:.0f} s were answered "
                    f"otherwise (answers: {counts})"
                )
            case Sight.NO_ANSWER:
                return (
                    f"not verified where users are: none of {self.requests} requests in {self.duration_s:.0f} s got an "
                    "answer"
                )

    def require_seen(self) -> None:
        """Check that users are served as set, if anybody can know.

        Raises:
            AzureFailed: The endpoint did not answer.
            GateFailed: Users are served otherwise.
        """
        if self.sight is Sight.NO_ANSWER:
            raise AzureFailed(self.words)
        if self.sight is Sight.NOT_YET:
            raise GateFailed(self.words)


async def look_who_serves(
    scorer: Scorer,
    requests: Sequence[RecordedRequest],
    *,
    old: Mapping[str, int],
    new: Mapping[str, int],
    limit_s: float = LIMIT_S,
) -> Served:
    """Send recorded requests as users do until the answers show that traffic `new` is in effect instead of `old`.

    Raises:
        AzureFailed: The endpoint does not take its key.
    """
    arrival, begun, nameless, is_answered = Arrival(old, new), time.monotonic(), 0, False
    seen: Counter[str] = Counter()

    def sum_up(sight: Sight, sent: int) -> Served:
        counts = dict(arrival.counts if sight is Sight.AS_SET else seen)
        return Served(sight=sight, counts=counts, requests=sent, duration_s=time.monotonic() - begun)

    for sent, recorded in enumerate(itertools.cycle(requests), start=1):
        answer = await scorer.score(recorded, own=True)
        is_answered = is_answered or bool(answer.status)
        if answer.deployment:
            seen[answer.deployment] += 1
            arrival.see(answer.deployment)
            if arrival.is_here:
                return sum_up(Sight.AS_SET, sent)
        else:
            check_key([answer])
            nameless += bool(answer.status)
            if nameless >= NAMELESS and not seen:
                return sum_up(Sight.NOT_NAMED, sent)
        if time.monotonic() - begun >= limit_s:
            return sum_up(Sight.NOT_YET if is_answered else Sight.NO_ANSWER, sent)
        await asyncio.sleep(QUICK_PACE_S if sent < QUICK_REQUESTS else SLOW_PACE_S)
    return sum_up(Sight.NOT_NAMED, 0)  # there is nothing to ask with
