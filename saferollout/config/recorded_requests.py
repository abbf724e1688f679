"""Recorded requests: what is sent to a deployment to see how it does, with the true answers where they are known."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from saferollout.config import body_files, yaml_file
from saferollout.domain.endpoint import Value
from saferollout.domain.errors import ConfigError, Problem
from saferollout.domain.json_text import read_json_text

T = TypeVar("T")

DEFAULT_NAMES = ("requests.jsonl", "sample-request.json")
"""What is looked for beside the deployment's YAML where the config names nothing; the second is Azure's own habit."""
FORM = '{"request": {"data": [[1, 2]]}}'
"""A line of the file, as messages show it."""
REMEDY = f"write one request a line, like {FORM}; a file that is one request's body ends in .json"
MAX_PROBLEMS = 10
MAX_KEPT_CHARACTERS = 64 * 2**20
"""A run keeps its requests among Prefect's results and in memory."""


class Compare(StrEnum):
    """How the answers to a request are compared."""

    JSON = "json"
    """As JSON values; an answer that is not JSON is an error."""
    BYTES = "bytes"
    """They are equal, or they are not."""
    NONE = "none"
    """Not at all: only errors and latency count, as for what is drawn anew each time."""


class RecordedRequest(BaseModel):
    """One request: its JSON body, or another one with its type, and, where known, the true answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    id: str = ""
    request: Any = Field(description="The JSON body, as the scoring script expects it.")
    body: bytes | None = Field(None, repr=False)
    """What is sent where the body is not JSON; a user writes it as a file of its own, `body_file`."""
    content_type: Annotated[str, AfterValidator(body_files.check_type)] = ""
    """Empty for JSON's own."""
    compare: Compare | None = None
    """By default as the answer's content type says."""
    answer: Annotated[Any, AfterValidator(read_json_text)] = None

    @property
    def key(self) -> str:
        """What two requests have in common that are the same to a deployment."""
        if self.body is None:
            return f"{self.content_type} {json.dumps(self.request, sort_keys=True)}"
        return f"{self.content_type} {hashlib.sha256(self.body).hexdigest()}"

    @property
    def is_compared(self) -> bool:
        """Whether what it is answered counts, and not only whether and when."""
        return self.compare is not Compare.NONE


class _BodyLine(BaseModel):
    """A line whose body is in a file of its own."""

    model_config = ConfigDict(extra="forbid")

    id: str = ""
    body_file: str = Field(min_length=1)
    content_type: Annotated[str, AfterValidator(body_files.check_type)] = ""
    compare: Compare | None = None
    answer: Any = None


class _Found(NamedTuple):
    """A request that was found, as the line that it is in JSON Lines; another body than JSON is not read yet."""

    line: str
    request: RecordedRequest
    size: int
    """How many characters it takes when it is kept."""
    body_file: Path | None = None
    number: int = 0

    def load(self, path: Path) -> "_Found":
        """Return the request with its body.

        Raises:
            ConfigError: The body cannot be read.
        """
        if self.body_file is None:
            return self
        try:
            body = self.body_file.read_bytes()
        except OSError as error:
            problem = f"cannot be read: {yaml_file.display_path(self.body_file)}: {error.strerror}"
            file = yaml_file.display_path(path)
            raise ConfigError(Problem(file, body_files.KEY, problem, "make it readable", self.number)) from None
        request = self.request.model_copy(update={"body": body})
        return self._replace(line=request.model_dump_json(exclude_defaults=True), request=request)


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
        while (size := sum(each.size for each in kept)) > MAX_KEPT_CHARACTERS and len(kept) > 1:
            kept = sample(found, max(1, min(len(kept) - 1, int(len(kept) * MAX_KEPT_CHARACTERS / size))))
        loaded = [each.load(path) for each in kept]
        return cls(
            text="".join(f"{each.line}\n" for each in loaded),
            total=len(found),
            distinct=count_distinct(each.request for each in loaded),
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
    return [each.load(path).request for each in _read(path)]


def count_distinct(requests: Iterable[RecordedRequest]) -> int:
    """How many of the requests are not the same as an earlier one."""
    return len({request.key for request in requests})


def _read(path: Path) -> list[_Found]:
    """Return what a file or folder holds.

    Raises:
        ConfigError: Something does not fit, the first ten of which it names, or there is no request.
    """
    found: list[_Found] = []
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


def _read_lines(path: Path) -> Iterator[_Found | Problem]:
    """Yield what each line that is not blank holds, or its problem."""
    file = yaml_file.display_path(path)
    is_empty = True
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        is_empty = False
        try:
            yield _read_line(path, line.strip(), number)
        except ConfigError as error:
            yield from error.problems
        except ValidationError as error:
            problem = dataclasses.replace(yaml_file.problems_of(path, error)[0], line=number)
            yield dataclasses.replace(problem, remedy=REMEDY) if problem.key in ("", "request") else problem
        except ValueError:
            yield Problem(file, "request", "NaN and infinity are not JSON", "write null", number)
    if is_empty:
        yield Problem(file, "", "holds no request", f"write lines like {FORM}")


def _read_line(path: Path, line: str, number: int) -> _Found:
    """The request in a line.

    Raises:
        ConfigError: Its body's file cannot be used, or its keys contradict each other.
        ValidationError: It is not a request.
        ValueError: It holds a number that JSON does not have.
    """
    file = yaml_file.display_path(path)
    if body_files.KEY in (keys := _keys(line)):
        if "request" in keys:
            problem = "is given beside body_file, and only one of them can be sent"
            raise ConfigError(Problem(file, "request", problem, "remove one of the two", number))
        given = _BodyLine.model_validate_json(line)
        body, size = body_files.locate(path, given.body_file, number)
        content_type = given.content_type or body_files.type_of(body)
        others = given.model_dump(exclude={"body_file", "content_type"})
        request = RecordedRequest(request=None, content_type=content_type, **others)
        found = _Found(line, request, len(line) + -(-size // 3) * 4, body, number)
    else:
        request = _request(line)
        if request.body is not None:
            remedy = "remove it; a body that is not JSON is in a file of its own, which body_file names"
            raise ConfigError(Problem(file, "body", "unknown key", remedy, number))
        found = _Found(line, request, len(line) + 1)
    if request.answer is not None and request.compare in (Compare.BYTES, Compare.NONE):
        problem = f"is not compared with anything, as compare is {request.compare.value}"
        raise ConfigError(Problem(file, "answer", problem, "remove it, or write json there", number))
    return found


def _keys(line: str) -> set[str]:
    """The keys of a line that may name a body's file; empty for others, which are read once only."""
    if f'"{body_files.KEY}"' not in line:
        return set()
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return set()
    return set(value) if isinstance(value, dict) else set()


def _read_body(path: Path) -> Iterator[_Found | Problem]:
    """Yield the request whose body a file is, or its problem."""
    file = yaml_file.display_path(path)
    remedy = f"write one JSON body, as the scoring script expects it; lines like {FORM} go into a .jsonl file"
    text = _text(path)
    if not text.strip():
        yield Problem(file, "", "holds no request", remedy)
        return
    try:  # Azure takes bodies with raw line ends in their texts
        line = json.dumps({"request": json.loads(text, strict=False)})
        yield _Found(line, _request(line), len(line) + 1)
    except json.JSONDecodeError as error:
        yield Problem(file, "", f"is not valid JSON: {error.msg}", remedy, error.lineno, error.colno)
    except ValidationError as error:  # what Python's reader lets pass, NaN and half a character among it
        what = error.errors(include_url=False)[0].get("ctx", {}).get("error", "it does not fit")
        yield Problem(file, "", f"is not valid JSON: {str(what).partition(' at line ')[0]}", remedy)
    except (ValueError, RecursionError):
        yield Problem(file, "", "holds numbers or levels beyond what JSON readers take", remedy)


def _read_folder(path: Path) -> Iterator[_Found | Problem]:
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
