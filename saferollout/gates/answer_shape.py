"""Errors that are answered with status 200: answers that break the schema, or the shape of the live answers.

The live answers to the recorded requests teach the shape. Where they vary, other answers may vary, too; what they
always do, other answers must do. So a list's length counts where live always gives the same one, or always one that a
list in the request has (a row each); a missing key where live always has it; an unknown key where live's keys are
always the same; null where live never gives it. A kind of value or of object that fewer than a fifth of the live
answers have, as when live itself fails now and then, is not usual: an answer that differs in this from the other
deployment's answer to the same request is an error, live's as well as the candidate's. Where both give the same shape,
neither is one.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from saferollout.config import answer_schema
from saferollout.config.recorded_requests import Compare

UNUSUAL = 0.2
ENOUGH = 20
"""So many live answers teach what is usual; before, nothing that looks like an error is counted as one."""
ERROR_KEYS = frozenset({"error", "errors", "exception", "traceback"})
ERROR_STATES = frozenset({"error", "exception", "failed", "failure"})
"""What the key `status` says of an error."""


def kind_of(value: object) -> str:
    """The kind of a JSON value, in a word."""
    if isinstance(value, bool):
        return "yes/no"
    names = {dict: "object", list: "list", int: "number", float: "number", str: "text"}
    return names.get(type(value), "null")


def says_error(answer: object) -> bool:
    """Whether an answer reports an error, as `{"error": "no such column"}` does; `{"error": 0.1}` is a number."""
    if not isinstance(answer, dict):
        return False
    lowered = {str(key).lower(): value for key, value in answer.items()}
    return str(lowered.get("status")).lower() in ERROR_STATES or any(
        value is True or (isinstance(value, str | list | dict) and bool(value))
        for key, value in lowered.items()
        if key in ERROR_KEYS
    )


@dataclass(frozen=True)
class Shape:
    """What one answer has at one place; the items of a list share one place."""

    kinds: frozenset[str]
    lengths: frozenset[int]
    """Of the lists here."""
    keys: "dict[str, Shape]"
    always: frozenset[str]
    """The keys that every object here has."""
    items: "Shape | None"

    @classmethod
    def of(cls, values: Sequence[Any]) -> "Shape":
        """The shape of the values at one place."""
        objects = [value for value in values if isinstance(value, dict)]
        lists = [value for value in values if isinstance(value, list)]
        items = [item for value in lists for item in value]
        keys = list(dict.fromkeys(key for value in objects for key in value))
        return cls(
            kinds=frozenset(map(kind_of, values)),
            lengths=frozenset(map(len, lists)),
            keys={key: cls.of([value[key] for value in objects if key in value]) for key in keys},
            always=frozenset(key for key in keys if all(key in value for value in objects)),
            items=cls.of(items) if items else None,
        )


class Usual:
    """What the live answers have at one place."""

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._not_null = 0
        """How many answers have more than null here."""
        self._lengths: set[int] = set()
        self._as_requested = True
        """Whether each list was as long as one in its request."""
        self._objects = 0
        self._always: Counter[str] = Counter()
        self._keys: dict[str, Usual] = {}
        self._items: Usual | None = None

    def take(self, shape: Shape, requested: frozenset[int]) -> None:
        """Learn from one more live answer; `requested` are the lengths of the lists in its request."""
        self._kinds.update(shape.kinds)
        self._not_null += shape.kinds != {"null"}
        self._lengths |= shape.lengths
        self._as_requested &= shape.lengths <= requested
        self._objects += "object" in shape.kinds
        self._always.update(shape.always)
        for key, inner in shape.keys.items():
            self._keys.setdefault(key, Usual()).take(inner, requested)
        if shape.items:
            self._items = self._items or Usual()
            self._items.take(shape.items, requested)

    def problems(self, shape: Shape, beside: Shape | None, requested: frozenset[int], place: str = "") -> Iterator[str]:
        """Yield what is wrong with an answer, beside the other one to the same request if that has this place."""
        where = f" in {place!r}" if place else ""
        for kind in sorted(shape.kinds - (beside.kinds if beside else frozenset())):
            if not self._allows(kind, nested=bool(place)):
                usual = " or ".join(sorted(known for known in self._kinds if self._is_usual(known)))
                yield f"{kind}{where} instead of {usual}"
        for length in sorted(shape.lengths - (beside.lengths if beside else frozenset())):
            if not self._allows_length(length, requested):
                yield f"a list of {length}{where} instead of {self._usual_length}"
        yield from self._problems_of_keys(shape, beside, where)
        for key, usual_inner in self._keys.items():
            if key in shape.keys:
                inner = f"{place}.{key}".lstrip(".")
                yield from usual_inner.problems(shape.keys[key], beside and beside.keys.get(key), requested, inner)
        if self._items and shape.items:
            yield from self._items.problems(shape.items, beside and beside.items, requested, f"{place}.*".lstrip("."))

    def _problems_of_keys(self, shape: Shape, beside: Shape | None, where: str) -> Iterator[str]:
        if "object" not in shape.kinds or not self._objects:
            return
        usual = {key for key, count in self._always.items() if count >= (1 - UNUSUAL) * self._objects}
        required = usual
        if usual & shape.always:  # the same kind of object, so that what live sometimes leaves out may be left out
            required = {key for key in usual if self._always[key] == self._objects}
        if beside and "object" in beside.kinds:
            required = required & beside.always  # what the other answer lacks, too, is not missing
        yield from (f"no {key!r}{where}" for key in sorted(required - shape.always))
        if all(self._always[key] == self._objects for key in self._keys):
            new = shape.keys.keys() - self._keys.keys() - (beside.keys.keys() if beside else set())
            yield from (f"{key!r}{where}, which live answers do not have" for key in sorted(new))

    def _is_usual(self, kind: str) -> bool:
        return self._kinds[kind] >= UNUSUAL * self._not_null

    def _allows(self, kind: str, *, nested: bool) -> bool:
        if not self._kinds:
            return True
        if kind == "null":
            return self._kinds[kind] > 0 if nested else self._kinds[kind] >= UNUSUAL * max(self._kinds.values())
        return self._is_usual(kind)

    def _allows_length(self, length: int, requested: frozenset[int]) -> bool:
        if not self._lengths - {0}:  # nothing is known but that lists may be empty
            return True
        if len(self._lengths) == 1:
            return length in self._lengths
        return length in requested or not self._as_requested

    @property
    def _usual_length(self) -> str:
        return f"{next(iter(self._lengths))}" if len(self._lengths) == 1 else "as many as the request"


class AnswerCheck:
    """Finds the answers that are errors though their status is 200: by a schema, else by what live answers."""

    def __init__(self, schema: dict[str, Any] | None = None, enough: int = ENOUGH) -> None:
        """`enough` is the number of pairs after which one knows what is usual; with a schema, one knows at once."""
        self._validator = answer_schema.make_validator(schema) if schema is not None else None
        self._enough = 0 if schema is not None else enough
        self._seen = 0
        self._usual = Usual()

    @property
    def is_ready(self) -> bool:
        """Whether enough live answers were seen."""
        return self._seen >= self._enough

    def applies(self, compare: Compare | None) -> bool:
        """Whether answers that are compared so are checked: a schema says nothing of bytes."""
        return compare is not Compare.NONE and not (self._validator and compare is Compare.BYTES)

    def learn(self, request: Any, live: Sequence[Any]) -> None:
        """Learn from what the live deployment answered, nothing where it failed; an error teaches no shape."""
        self._seen += 1
        if self._validator is None:
            for answer in live:
                if not says_error(answer):
                    self._usual.take(Shape.of([answer]), _lengths(request))

    def problem(self, request: Any, answer: Any, beside: Sequence[Any]) -> str:
        """What makes an answer an error, in words; empty where it is not an error.

        `beside` is the other deployment's answer to the same request, nothing where that one failed.
        """
        if self._validator is not None:
            try:
                return next((error.message for error in self._validator.iter_errors(answer)), "")
            except RecursionError:
                return "nested too deep for answer_schema"
        if says_error(answer) and not any(map(says_error, beside)):
            return "an error with status 200"
        other = Shape.of(beside) if beside else None
        return next(self._usual.problems(Shape.of([answer]), other, _lengths(request)), "")


def _lengths(request: Any) -> frozenset[int]:
    """The lengths of all lists in a request."""
    if isinstance(request, dict):
        return frozenset().union(*map(_lengths, request.values()))
    if isinstance(request, list):
        return frozenset({len(request)}).union(*map(_lengths, request))
    return frozenset()
