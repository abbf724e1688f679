"""Recording: recorded requests made of those that users have sent, as the data collector kept them."""

import hashlib
import json
import mimetypes
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar

from saferollout.azure.collection import CollectedEvent
from saferollout.config.body_files import MAX_BYTES
from saferollout.config.recorded_requests import RecordedRequest, sample
from saferollout.config.redaction import Redaction
from saferollout.domain.words import plural
from saferollout.gates.answer_shape import says_error
from saferollout.gates.scoring import OWN_REQUESTS

T = TypeVar("T")

JSON = "application/json"
SAME = "the same as another one"
RARE = 0.1
"""Answers of a media type that fewer have are taken for errors: their status is not collected."""
_TYPES = mimetypes.MimeTypes()


class Collection(Protocol):
    """What was collected; `saferollout.azure.collection` has the service's."""

    is_complete: bool
    """Whether all of it has been read."""

    def events(self, since: datetime) -> Iterator[CollectedEvent]:
        """Yield what was collected since then.

        Raises:
            AzureFailed: It cannot be read.
        """
        ...

    def content(self, blob: str) -> bytes:
        """Return the body in a blob of its own.

        Raises:
            AzureFailed: It cannot be read.
        """
        ...


class Line(NamedTuple):
    """A recorded request as it is written: a line of the file, and a file of its own where the body is not JSON."""

    text: str
    key: bytes
    """A digest that the same requests have in common."""
    body_file: str = ""
    body: bytes = b""

    @property
    def size(self) -> int:
        """The bytes of both."""
        return len(self.text) + 1 + len(self.body)


@dataclass
class Recorded:
    """What was recorded."""

    lines: list[Line] = field(default_factory=list)
    found: int = 0
    """How many requests were collected."""
    left_out: Counter[str] = field(default_factory=Counter)
    """How many were not taken, by the reason."""

    @property
    def summary(self) -> str:
        """The numbers in a sentence."""
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.left_out.most_common())
        return f"{plural(len(self.lines), 'request')} of {self.found} collected" + (f" ({reasons})" if reasons else "")


def record(
    requests: Collection,
    responses: Collection | None,
    *,
    since: datetime,
    size: int,
    max_bytes: int,
    scored_at: str,
    folder: str,
    redaction: Redaction,
) -> Recorded:
    """Take at most `size` different requests and `max_bytes` in all, spread evenly over the time since then.

    Left out are those that were answered with an error, came from a rollout itself, or went elsewhere than to the
    path `scored_at`. Bodies that are not JSON go into files in a `folder`.

    Raises:
        AzureFailed: What was collected cannot be read.
        ConfigError: The redaction failed.
    """
    answered = _Answered.read(responses, since) if responses else None
    recorded, thinned, seen = Recorded(), _Thinned(2 * size), set[bytes]()
    for event in requests.events(since):
        recorded.found += 1
        reason = _unfit(event, scored_at) or (answered.reason(event.id) if answered else "")
        taken = _line(event, event.data, folder, redaction) if not reason and not event.blob else reason
        if isinstance(taken, Line):
            reason = SAME if taken.key in seen else ""
            seen.add(taken.key)
        elif taken:
            reason = taken
        if reason:
            recorded.left_out[reason] += 1
        else:
            thinned.take((event, taken if isinstance(taken, Line) else None))
    # once by what is known before the bodies in blobs are read, so that no more than needed is, and once by what is
    chosen = _within(sample(thinned.kept, size), max_bytes, lambda each: each[1].size if each[1] else each[0].size)
    loaded = list(_load(chosen, requests, folder, redaction, recorded.left_out))
    redaction.check_met()
    recorded.lines = _within(loaded, max_bytes, lambda line: line.size)
    if more := recorded.found - recorded.left_out.total() - len(recorded.lines):
        recorded.left_out["more than asked for"] += more
    return recorded


def _within(values: Sequence[T], max_bytes: int, size_of: Callable[[T], int]) -> list[T]:
    """As many of them, evenly spaced, as are not larger than that together."""
    kept = fitting = [value for value in values if size_of(value) <= max_bytes]
    while (total := sum(map(size_of, kept))) > max_bytes:
        kept = sample(fitting, max(1, int((len(kept) - 1) * max_bytes / total)))
    return kept


def _unfit(event: CollectedEvent, scored_at: str) -> str:
    """Why a request is not one to record; empty where it is."""
    if event.client_id.startswith(OWN_REQUESTS):
        return "sent by a rollout"
    if event.method.upper() != "POST" or not scored_at.endswith(event.path.partition("?")[0]):
        return "not for scoring"
    if event.size > MAX_BYTES:
        return "too large"
    return "" if event.size else "empty"


class _Answered:
    """Which requests were answered well, as far as their answers show it."""

    def __init__(self, media: dict[str, str], *, is_complete: bool) -> None:
        self._media = media
        counts = Counter(media.values())
        del counts[""]
        self._usual = {name for name, count in counts.items() if count >= RARE * counts.total()}
        self._is_complete = is_complete

    @classmethod
    def read(cls, responses: Collection, since: datetime) -> "_Answered":
        """Read all answers; an error has no media type."""
        media = {
            event.id: "" if not event.blob and _is_error(event.data) else _media(event.content_type)
            for event in responses.events(since)
        }
        return cls(media, is_complete=responses.is_complete)

    def reason(self, identifier: str) -> str:
        """Why the request with this id is not to be recorded; empty where nothing is against it."""
        media = self._media.get(identifier)
        if media is None:
            return "not answered" if self._is_complete else ""
        return "" if media in self._usual else "answered with an error"


def _is_error(answer: Any) -> bool:
    """Whether an answer reports an error; the inference server's own is a message and nothing else."""
    return says_error(answer) or (isinstance(answer, dict) and answer.keys() == {"message"})


class _Thinned:
    """Evenly spaced ones of a sequence whose length is not known before its end, so many at most."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._stride = 1
        self._count = 0
        self.kept: list[tuple[CollectedEvent, Line | None]] = []

    def take(self, each: tuple[CollectedEvent, Line | None]) -> None:
        """Take the next one."""
        if self._count % self._stride == 0:
            self.kept.append(each)
            if len(self.kept) > self._most:
                self.kept = self.kept[::2]
                self._stride *= 2
        self._count += 1


def _load(
    taken: Sequence[tuple[CollectedEvent, Line | None]],
    requests: Collection,
    folder: str,
    redaction: Redaction,
    left_out: Counter[str],
) -> Iterator[Line]:
    """Yield the lines, those with bodies in blobs of their own, too, no request twice."""
    seen = {line.key for _, line in taken if line}
    for event, known in taken:
        line: Line | str = known or _line(event, _content(event, requests), folder, redaction)
        if isinstance(line, str):
            left_out[line] += 1
        elif known is None and line.key in seen:
            left_out[SAME] += 1
        else:
            seen.add(line.key)
            yield line


def _content(event: CollectedEvent, requests: Collection) -> Any:
    """A body that is in a blob of its own: a JSON value, or bytes where it is not what it is said to be, too."""
    content = requests.content(event.blob)
    if not _is_json(event.content_type):
        return content
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content


def _line(event: CollectedEvent, content: Any, folder: str, redaction: Redaction) -> Line | str:
    """The line of a request, or why there is none."""
    redacted = redaction.apply(content)
    if redacted is None:
        return "left out by the redaction"
    content_type = "" if _is_json(event.content_type) else event.content_type
    given: dict[str, Any] = {"id": event.id} | ({"content_type": content_type} if content_type else {})
    try:
        if isinstance(redacted, bytes):
            request = RecordedRequest(request=None, body=redacted, content_type=content_type)
            digest = hashlib.sha256(redacted).hexdigest()[:32]
            name = f"{folder}/{digest}{_TYPES.guess_extension(_media(content_type)) or '.bin'}"
            return Line(json.dumps(given | {"body_file": name}), _digest(request), name, redacted)
        text = json.dumps(given | {"request": redacted}, allow_nan=False)
        return Line(text, _digest(RecordedRequest.model_validate_json(text)))
    except ValueError:  # half a character, a number that JSON does not have, a type that no header takes
        return "not valid JSON"


def _digest(request: RecordedRequest) -> bytes:
    return hashlib.sha256(request.key.encode()).digest()


def _is_json(content_type: str) -> bool:
    media = _media(content_type)
    return media in ("", JSON) or media.endswith("+json")


def _media(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
