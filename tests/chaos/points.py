"""Where a rollout may be killed, and which of these points one rollout is dealt."""

import itertools
import random
from collections.abc import Iterator

from saferollout.domain.fault_points import AFTER, BEFORE, BEGINS, ENDS, SENT, Change, Step

Point = tuple[Change | Step, str]

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
    *itertools.product((Change.SCALE_DEPLOYMENT, Change.CREATE_DEPLOYMENT), (BEFORE, SENT, AFTER)),
    *itertools.product((Change.UPDATE_ENDPOINT,), (SENT, AFTER)),
]
"""Where its process may be killed and another one goes on; before it has begun nothing is to be finished."""
LAST: list[Point] = [
    (Step.RETIRE, BEGINS),
    *itertools.product((Change.DELETE_DEPLOYMENT,), (BEFORE, SENT, AFTER)),
]
"""Where whoever ends it may be killed; the guard may do the rest, so that one more is not sure to be reached."""
REPORTING: list[Point] = [(Step.RETIRE, ENDS), (Step.REPORT, BEGINS), (Step.REPORT, ENDS)]
"""Where its process may be killed when all is done but the report."""
GUARD: list[Point] = [(Step.GUARD, BEGINS), (Step.GUARD, ENDS), (Step.RESUME, BEGINS), (Step.RESUME, ENDS)]
"""Where the guard may be killed while a rollout goes well."""
BACK: list[Point] = [
    (Step.ROLL_BACK, BEGINS),
    (Change.DELETE_DEPLOYMENT, SENT),
    (Step.ROLL_BACK, ENDS),
    (Step.CLOSE, BEGINS),
]
"""Where whoever rolls back may be killed."""


def is_anybodys(point: Point) -> bool:
    """Whether the process of the run and the guard may both get there."""
    what, _ = point
    return what in (Change.DELETE_DEPLOYMENT, Step.GUARD, Step.RESUME, Step.CLOSE)


def hands(kills: int, at_once: int, seed: int) -> Iterator[list[Point]]:
    """The points of each rollout, together as many as are asked for: all equally often, every third hand repeatedly.

    Each has one at its end and one of the guard's, for which there is an earlier one of the run's: those are reached.
    """
    chance = random.Random(seed)  # noqa: S311  # no secrets
    deal, deal_last = _deck(chance, ON_THE_WAY), _deck(chance, [*LAST, *REPORTING])
    deal_guard = _deck(chance, GUARD)
    for number in itertools.count():
        if kills <= 0:
            return
        width = max(1, min(at_once, kills) - 2)
        times = 3 if number % 3 == 2 and width >= 6 else 1
        drawn = [next(deal) for _ in range(width // times)]
        points = [*(point for point in drawn for _ in range(times)), next(deal_guard), next(deal_last)]
        kills -= len(points)
        yield points


def _deck(chance: random.Random, points: list[Point]) -> Iterator[Point]:
    while True:
        yield from chance.sample(points, len(points))
