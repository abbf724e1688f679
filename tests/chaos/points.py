"""Where a rollout may be killed, and which of these points one rollout is dealt."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

from saferollout.domain.fault_points import AFTER, BEFORE, BEGINS, ENDS, SENT, AzureChange, Step

Point = tuple[AzureChange | Step, str]

ON_THE_WAY: list[Point] = [
    (Step.BASELINE, ENDS),
    *itertools.product(
        (
            Step.SCALE_LIVE,
            Step.CREATE,
            Step.VERIFY,
            Step.SMOKE_TEST,
            Step.ASK,
            Step.NOTE_QUESTION,
            Step.SCALE_CANDIDATE,
            Step.RECHECK,
            Step.SHIFT,
            Step.JUDGE,
        ),
        (BEGINS, ENDS),
    ),
    *itertools.product((AzureChange.SCALE_DEPLOYMENT, AzureChange.CREATE_DEPLOYMENT), (BEFORE, SENT, AFTER)),
    *itertools.product((AzureChange.UPDATE_ENDPOINT,), (SENT, AFTER)),
]
"""Where its process may be killed and another one goes on; before it has begun nothing is to be finished."""
LAST: list[Point] = [
    *itertools.product((Step.RETIRE, Step.REPORT), (BEGINS, ENDS)),
    *itertools.product((AzureChange.DELETE_DEPLOYMENT,), (BEFORE, SENT, AFTER)),
]
"""Where its process may be killed and the guard does the rest, so that one more is not reached."""
GUARD: list[Point] = [(Step.GUARD, BEGINS), (Step.GUARD, ENDS), (Step.RESUME, BEGINS), (Step.RESUME, ENDS)]
"""Where the guard may be killed while a rollout goes well."""
BACK: list[Point] = [(Step.ROLL_BACK, BEGINS), (AzureChange.DELETE_DEPLOYMENT, SENT), (Step.ROLL_BACK, ENDS)]
"""Where the process of a rollout may be killed that rolls back; the guard does the rest."""
GUARD_BACK: list[Point] = [
    (AzureChange.DELETE_DEPLOYMENT, SENT),
    (Step.CLOSE, BEGINS),
    (AzureChange.DELETE_DEPLOYMENT, BEFORE),
]
"""Where the guard may be killed that does it."""


@dataclass
class Hand:
    """What one rollout meets."""

    run: list[Point]
    """Where its process is killed."""
    guard: list[Point]
    """Where the guard is."""

    @property
    def kills(self) -> int:
        """How many there are."""
        return len(self.run) + len(self.guard)


def hands(kills: int, at_once: int, seed: int) -> Iterator[Hand]:
    """The points of each good rollout, together as many as are asked for: all equally often, every third hand thrice.

    Each has one at its end and one of the guard's, for which there is an earlier one of the run's: all are reached.
    """
    chance = random.Random(seed)  # noqa: S311  # no secrets
    deal, deal_last, deal_guard = (_deck(chance, points) for points in (ON_THE_WAY, LAST, GUARD))
    for number in itertools.count():
        if kills <= 0:
            return
        width = max(1, min(at_once, kills) - 2)
        times = 3 if number % 3 == 2 and width >= 6 else 1
        drawn = _draw(deal, width // times, repeats=times > 1)
        hand = Hand([*(point for point in drawn for _ in range(times)), next(deal_last)], [next(deal_guard)])
        kills -= hand.kills
        yield hand


def _draw(deal: Iterator[Point], count: int, *, repeats: bool) -> list[Point]:
    """So many points that one rollout reaches: what Azure has taken is not asked for again by the next process."""
    drawn: list[Point] = []
    while len(drawn) < count:
        what, where = point = next(deal)
        is_once = what in (AzureChange.CREATE_DEPLOYMENT, AzureChange.SCALE_DEPLOYMENT) and where != BEFORE
        before = any(other == what and at != BEFORE for other, at in drawn)
        if not (is_once and (repeats or before)):
            drawn.append(point)
    return drawn


def back_hand(number: int) -> Hand:
    """The points of a rollout that goes back."""
    first, second = BACK[number % len(BACK)], GUARD_BACK[number // len(BACK) % len(GUARD_BACK)]
    return Hand([first], [second] if first == (Step.ROLL_BACK, BEGINS) else [])


def _deck(chance: random.Random, points: list[Point]) -> Iterator[Point]:
    while True:
        yield from chance.sample(points, len(points))
