"""Recorded requests: what is sent to a deployment to see how it does, with the true answers where they are known."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from saferollout.config import yaml_file
from saferollout.domain.endpoint import Value
from saferollout.domain.errors import ConfigError, Problem
from saferollout.domain.json_text import read_json_text

T = TypeVar("T")

MAX_KEPT_CHARACTERS = 64 * 2**20
"""A run keeps its requests among Prefect's results and in memory."""

MOST_LISTED = 10
"""So many lines that do not fit are listed, of what may be thousands."""


class RecordedRequest(BaseModel):
    """One line of the file: the request's JSON body and, where known, the true answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = ""
    request: Any = Field(description="The JSON body, as the scoring script expects it.")
    answer: Annotated[Any, AfterValidator(read_json_text)] = None


class Recording(Value):
    """The recorded requests as a run keeps them: their lines as they were in the file when the run began."""

    text: str = Field(repr=False)
    """JSON Lines, at most `MAX_KEPT_CHARACTERS`, unless one line alone has more."""
    total: int
    """How many requests the file held; of more than fit into `text`, every so many-th is kept."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Take the requests of a JSON Lines file; ConfigError as for `read_requests`."""
        lines = [line for line, _ in _read(path)]
        kept = lines
        while (size := sum(len(line) + 1 for line in kept)) > MAX_KEPT_CHARACTERS and len(kept) > 1:
            kept = sample(lines, max(1, min(len(kept) - 1, int(len(kept) * MAX_KEPT_CHARACTERS / size))))
        return cls(text="".join(f"{line}\n" for line in kept), total=len(lines))

    def requests(self) -> list[RecordedRequest]:
        """The requests that are kept."""
        return [RecordedRequest.model_validate_json(line) for line in self.text.split("\n") if line]

    def summary(self) -> str:
        """How many there are, and a digest by which a person can distinguish two recordings."""
        kept = self.text.count("\n")
        number = str(kept) if kept == self.total else f"{kept} of {self.total}"
        return f"{number} (`{short_digest(self.text)}`)"


def short_digest(text: str) -> str:
    """12 hex digits, by which a person can distinguish two texts."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_requests(path: Path) -> list[RecordedRequest]:
    """Read a JSON Lines file of recorded requests, as `_read` does."""
    return [request for _, request in _read(path)]


def _read(path: Path) -> list[tuple[str, RecordedRequest]]:
    """Return each line that is not blank, and the request that it holds.

    Raises:
        ConfigError: Lines do not fit, the first of which it names, or the file holds no request.
    """
    requests: list[tuple[str, RecordedRequest]] = []
    problems: list[Problem] = []
    wrong = 0
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(yaml_file.unreadable(path, error)) from None
    file = yaml_file.display_path(path)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            request = RecordedRequest.model_validate_json(line)
            json.dumps(request.request, allow_nan=False)
        except ValueError as error:
            wrong += 1
            if wrong > MOST_LISTED:
                continue
            found = Problem(file, "request", "NaN and infinity are not JSON", "write null")
            found = yaml_file.problems_of(path, error)[0] if isinstance(error, ValidationError) else found
            problems.append(dataclasses.replace(found, line=number))
        else:
            requests.append((line.strip(), request))
    if not requests and not problems:
        problems = [Problem(file, "", "holds no request", 'write lines like {"request": {"data": [[1, 2]]}}')]
    if wrong > MOST_LISTED:
        problems.append(yaml_file.more(file, wrong - MOST_LISTED))
    if problems:
        raise ConfigError(*problems)
    return requests


def sample(requests: Sequence[T], size: int) -> list[T]:
    """At most `size` of them, evenly spaced, the first and the last included."""
    if len(requests) <= size:
        return list(requests)
    if size == 1:
        return [requests[0]]
    return [requests[round(index * (len(requests) - 1) / (size - 1))] for index in range(size)]
