"""What a candidate's answers changed beside live's, where nobody says which of the two are right.

A new model is meant to answer differently, so a change is not a fault. Where everything changes it need not be one
either, but that is what a wrong model, a wrong unit or mixed-up classes look like: *passed* would say too much.
"""

import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from saferollout.domain.words import percent, plural
from saferollout.judge.disagreement import is_number, same

FACTOR = 10.0
"""Numbers that are so many times larger or smaller are off by orders of magnitude, …"""
NEGLIGIBLE = 0.01
"""… unless they differ by less than this share of live's largest number at that place: 1e-9 and 1e-6 are both zero."""
FEW = 5
"""Whole numbers that come at least so often each, on average, are labels."""
ROUNDING = 1e-9
"""A smaller relative difference is that of two machines, not of two models."""


@dataclass(frozen=True, slots=True)
class AnswerChange:
    """How many answers changed, and by how much."""

    answers: int
    changed: int
    """Answers that differ in anything."""
    labels: int
    """Labels in live's answers: texts, true and false, and whole numbers of few kinds."""
    changed_labels: int
    relative: float | None
    """The median relative difference of the numbers that differ, 0.5 for half as much again; None if none does."""
    doubts: tuple[str, ...]
    """What changed so much that it needs somebody to say that it should; empty if nothing did."""

    def __str__(self) -> str:
        """Return it in words: *48 of 50 answers differ from live's: numbers by 3.1% (median), 12% of the labels*."""
        if not self.answers:
            return "no answer could be compared with live's"
        if not self.changed:
            return "no answer differs from live's"
        parts = [f"numbers by {percent(self.relative)} (median)"] if self.relative is not None else []
        parts += [f"{percent(self.changed_labels / self.labels)} of the labels"] if self.changed_labels else []
        verb = "differs" if self.changed == 1 else "differ"
        by = f": {', '.join(parts)}" if parts else ""
        return f"{self.changed} of {plural(self.answers, 'answer')} {verb} from live's{by}"


@dataclass(frozen=True, slots=True)
class _Place:
    """The values at one place of each answer that has it, as (candidate's, live's) pairs."""

    name: str
    answers: Sequence[Sequence[tuple[Any, Any]]]

    @property
    def pairs(self) -> list[tuple[Any, Any]]:
        return [pair for answer in self.answers for pair in answer]

    @property
    def are_numbers(self) -> bool:
        """Whether all are numbers, and not labels such as 0, 1 or "3"."""
        values = [_number(value) for pair in self.pairs for value in pair]
        numbers = [value for value in values if value is not None]
        if len(numbers) < len(values):
            return False
        if not all(number.is_integer() for number in numbers):
            return True
        if any(isinstance(value, str) for pair in self.pairs for value in pair):
            return False
        live = {_number(value) for _, value in self.pairs}
        known = len(live) > 1 and {_number(value) for value, _ in self.pairs} <= live
        return not known and len(set(numbers)) * FEW > len(self.pairs)

    @property
    def are_labels(self) -> bool:
        """Whether each is a text, true, false or a whole number."""
        kinds = (str, bool, int, float)
        return not self.are_numbers and all(isinstance(value, kinds) for pair in self.pairs for value in pair)

    def relative(self) -> list[float]:
        """How far the candidate's numbers are from live's in each answer that differs, as a share of live's.

        Answers for which there is none, as live's number is zero, are left out.
        """
        apart = [(_distance(answer), _largest(live for _, live in answer)) for answer in self.answers]
        return [distance / live for distance, live in apart if live and 0 < distance < math.inf]

    def factors(self) -> list[float]:
        """How many times larger or smaller the candidate's numbers are in each answer where that is not negligible."""
        finite = [abs(number) for _, live in self.pairs if math.isfinite(number := _number(live) or 0.0)]
        negligible = NEGLIGIBLE * max(finite, default=0.0)
        factors = []
        for answer in self.answers:
            low, high = sorted((_largest(value for value, _ in answer), _largest(value for _, value in answer)))
            if high >= FACTOR * low and _distance(answer) > negligible:
                factors.append(high / low if low and math.isfinite(high) else math.inf)
        return factors


def change_of(answers: Sequence[tuple[Any, Any]]) -> AnswerChange:
    """What changed between the candidate's and live's answers, of which each pair belongs to another request."""
    by_place: dict[str, list[list[tuple[Any, Any]]]] = defaultdict(list)
    for candidate, live in answers:
        leaves = sorted(_leaves(candidate, live, ""), key=lambda leaf: leaf[0])
        for name, group in itertools.groupby(leaves, key=lambda leaf: leaf[0]):
            by_place[name].append([(ours, theirs) for _, ours, theirs in group])
    places = [_Place(name, found) for name, found in by_place.items()]
    numbers = [place for place in places if place.are_numbers]
    labels = [place for place in places if place.are_labels]
    relative = [value for place in numbers for value in place.relative()]
    pairs = [pair for place in labels for pair in place.pairs]
    changed_labels = sum(_differ(*pair) for pair in pairs)
    numbers_differ = any(_differ(*pair) for place in numbers for pair in place.pairs)
    doubts = [doubt for place in numbers if (doubt := _doubt_of_numbers(place, len(answers)))]
    # where all numbers agree it is the same answer: texts that differ are ids or a version
    labeled = max((len(place.answers) for place in labels), default=0)
    if pairs and changed_labels == len(pairs) and 2 * labeled >= len(answers) and (numbers_differ or not numbers):
        where = ", ".join(repr(place.name) for place in labels if place.name)
        doubts.append(f"every label differs from live's{f' ({where})' if where else ''}")
    return AnswerChange(
        answers=len(answers),
        changed=sum(any(_differ(*values) for _, *values in _leaves(*answer, "")) for answer in answers),
        labels=len(pairs),
        changed_labels=changed_labels,
        relative=statistics.median(relative) if relative else None,
        doubts=tuple(doubts),
    )


def _doubt_of_numbers(place: _Place, answers: int) -> str:
    """Why the numbers at a place are in doubt: in at least half of the answers they are off by orders of magnitude."""
    factors = place.factors()
    if 2 * len(factors) < max(answers, 1):
        return ""
    factor = statistics.median(factors)
    times = f"typically {factor:,.0f} times" if math.isfinite(factor) else "to or from zero, or beyond all numbers"
    where = f" at {place.name!r}" if place.name else ""
    return f"numbers{where} are orders of magnitude off in {len(factors)} of {plural(answers, 'answer')} ({times})"


def _leaves(candidate: Any, live: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield each leaf's place with both values; the items of a list, or a vector's, share one; None for a lack."""
    if isinstance(candidate, dict) and isinstance(live, dict):
        is_vector = _is_vector(candidate) and _is_vector(live)
        for key in live | candidate:
            inner = "*" if is_vector else str(key)
            yield from _leaves(candidate.get(key), live.get(key), f"{place}.{inner}".lstrip("."))
    elif isinstance(candidate, list) and isinstance(live, list):
        for ours, theirs in itertools.zip_longest(candidate, live):
            yield from _leaves(ours, theirs, f"{place}.*".lstrip("."))
    else:
        yield place, candidate, live


def _is_vector(value: dict[str, Any]) -> bool:
    """Whether an object has a probability for each class: one small number among them says nothing by itself."""
    return len(value) > 1 and all(is_number(item) and 0 <= item <= 1 for item in value.values())


def _differ(candidate: Any, live: Any) -> bool:
    """Whether two leaves differ by more than rounding."""
    ours, theirs = _number(candidate), _number(live)
    if ours is None or theirs is None or isinstance(candidate, str) != isinstance(live, str):
        return not same(candidate, live)
    rounded = math.isfinite(ours) and math.isclose(ours, theirs, rel_tol=ROUNDING)
    return not same(candidate, live) and not rounded


def _number(value: Any) -> float | None:
    """A number, also one that a script sends as text; infinite where it is none to count with; None for no number."""
    try:
        number = float(value) if is_number(value) or isinstance(value, str) else None
    except OverflowError:
        return math.inf
    except ValueError:
        return None
    return math.inf if number is not None and math.isnan(number) else number


def _largest(values: Iterator[Any]) -> float:
    return max(abs(_number(value) or 0.0) for value in values)


def _distance(answer: Sequence[tuple[Any, Any]]) -> float:
    """The largest difference between two numbers of an answer; infinite where one of them is not a finite number."""
    apart = [abs((_number(ours) or 0.0) - (_number(theirs) or 0.0)) for ours, theirs in answer if _differ(ours, theirs)]
    return max((math.inf if math.isnan(distance) else distance for distance in apart), default=0.0)
