"""Recorded requests: what is sent to a deployment to see how it does, with the true answers where they are known."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from saferollout.config import yaml_file
from saferollout.domain.endpoint import Value
from saferollout.domain.errors import ConfigError, Problem
from saferollout.domain.json_text import read_json_text

T = TypeVar("T")

DEFAULT_NAMES = ("requests.jsonl", "sample-request.json")
"""What is looked for beside the deployment's YAML where the config names nothing; the second is Azure's own habit."""
FORM = '{"request": {"data": [[1, 2]]}}'
"""A line of the file, as messages show it."""
MAX_PROBLEMS = 10
MAX_KEPT_CHARACTERS = 64 * 2**20
"""A run keeps its requests among Prefect's results and in memory."""


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
    distinct: int = 0
    """How many of those kept differ from each other; 0 in a recording that an earlier version kept."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Take the requests of a file or folder; ConfigError as for `read_requests`."""
        kept = found = _read(path)
        while (size := sum(len(line) + 1 for line, _ in kept)) > MAX_KEPT_CHARACTERS and len(kept) > 1:
            kept = sample(found, max(1, min(len(kept) - 1, int(len(kept) * MAX_KEPT_CHARACTERS / size))))
        return cls(
            text="".join(f"{line}\n" for line, _ in kept),
            total=len(found),
            distinct=count_distinct(request for _, request in kept),
        )

    def requests(self) -> list[RecordedRequest]:
        """The requests that are kept."""
        return [RecordedRequest.model_validate_json(line) for line in self.text.split("\n") if line]

    def summary(self) -> str:
        """How many there are, how many of them differ, and a digest that distinguishes two recordings."""
        kept = self.text.count("\n")
        number = str(kept) if kept == self.total else f"{kept} of {self.total}"
        differ = f", {self.distinct} distinct" if 0 < self.distinct < kept else ""
        return f"{number}{differ} (`{short_digest(self.text)}`)"


def short_digest(text: str) -> str:
    """12 hex digits, by which a person can distinguish two texts."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_requests(path: Path) -> list[RecordedRequest]:
    """Read recorded requests: a file of JSON Lines, a `.json` file that is one request's body, or a folder of those."""
    return [request for _, request in _read(path)]


def count_distinct(requests: Iterable[RecordedRequest]) -> int:
    """How many of the requests are not the same as an earlier one."""
    return len({json.dumps(request.request, sort_keys=True) for request in requests})


def _read(path: Path) -> list[tuple[str, RecordedRequest]]:
    """Return each request with the line that it is in JSON Lines.

    Raises:
        ConfigError: Something does not fit, the first ten of which it names, or there is no request.
    """
    found: list[tuple[str, RecordedRequest]] = []
    problems: list[Problem] = []
    reader = _read_folder if path.is_dir() else _read_body if path.suffix.lower() == ".json" else _read_lines
    for each in reader(path):
        if isinstance(each, Problem):
            problems.append(each)
        else:
            found.append(each)
    if len(problems) > MAX_PROBLEMS:
        file = yaml_file.display_path(path)
        problems = [*problems[:MAX_PROBLEMS], yaml_file.more(file, len(problems) - MAX_PROBLEMS)]
    if problems:
        raise ConfigError(*problems)
    return found


def _read_lines(path: Path) -> Iterator[tuple[str, RecordedRequest] | Problem]:
    """Yield each line that is not blank with the request that it holds, or its problem."""
    file = yaml_file.display_path(path)
    remedy = f"write one request a line, like {FORM}; a file that is one request's body ends in .json"
    is_empty = True
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        is_empty = False
        try:
            yield line.strip(), _request(line)
        except ValidationError as error:
            problem = dataclasses.replace(yaml_file.problems_of(path, error)[0], line=number)
            yield dataclasses.replace(problem, remedy=remedy) if problem.key in ("", "request") else problem
        except ValueError:
            yield Problem(file, "request", "NaN and infinity are not JSON", "write null", number)
    if is_empty:
        yield Problem(file, "", "holds no request", f"write lines like {FORM}")


def _read_body(path: Path) -> Iterator[tuple[str, RecordedRequest] | Problem]:
    """Yield the request whose body a file is, as the line that it is in JSON Lines, or its problem."""
    file = yaml_file.display_path(path)
    remedy = f"write one JSON body, as the scoring script expects it; lines like {FORM} go into a .jsonl file"
    text = _text(path)
    if not text.strip():
        yield Problem(file, "", "holds no request", remedy)
        return
    try:  # Azure takes bodies with raw line ends in their texts
        line = json.dumps({"request": json.loads(text, strict=False)})
        yield line, _request(line)
    except json.JSONDecodeError as error:
        yield Problem(file, "", f"is not valid JSON: {error.msg}", remedy, error.lineno, error.colno)
    except ValidationError as error:  # what Python's reader lets pass, NaN and half a character among it
        what = error.errors(include_url=False)[0].get("ctx", {}).get("error", "it does not fit")
        yield Problem(file, "", f"is not valid JSON: {str(what).partition(' at line ')[0]}", remedy)
    except (ValueError, RecursionError):
        yield Problem(file, "", "holds numbers or levels beyond what JSON readers take", remedy)


def _read_folder(path: Path) -> Iterator[tuple[str, RecordedRequest] | Problem]:
    """Yield what each `.json` file in a folder is, in the order of their names."""
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".json")
    if not files:
        remedy = "put .json files there, each the body of one request"
        yield Problem(yaml_file.display_path(path), "", "holds no .json file", remedy)
    for file in files:
        if file.is_file():
            yield from _read_body(file)
        else:
            yield Problem(yaml_file.display_path(file), "", "is not a file", "put a request's body there, or remove it")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(yaml_file.unreadable(path, error)) from None


def _request(line: str) -> RecordedRequest:
    """The request in a line.

    Raises:
        ValidationError: It is not one.
        ValueError: It holds a number that JSON does not have.
    """
    request = RecordedRequest.model_validate_json(line)
    json.dumps(request.request, allow_nan=False)
    return request


def sample(requests: Sequence[T], size: int) -> list[T]:
    """At most `size` of them, evenly spaced, the first and the last included."""
    if len(requests) <= size:
        return list(requests)
    if size == 1:
        return [requests[0]]
    return [requests[round(index * (len(requests) - 1) / (size - 1))] for index in range(size)]
