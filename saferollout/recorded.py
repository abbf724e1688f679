"""Recorded requests: what is sent to a deployment to see how it does, with the true answers where they are known."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from saferollout import yamlfile
from saferollout.errors import ConfigError, Problem
from saferollout.json_text import read_json_text


class RecordedRequest(BaseModel):
    """One line of the file: the request's JSON body and, where known, the true answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = ""
    request: Any = Field(description="The JSON body, as the scoring script expects it.")
    answer: Annotated[Any, AfterValidator(read_json_text)] = None


def read_requests(path: Path) -> list[RecordedRequest]:
    """Read a JSON Lines file; ConfigError names each line that does not fit, or says that there is none."""
    requests: list[RecordedRequest] = []
    problems: list[Problem] = []
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(yamlfile.unreadable(path, error)) from None
    file = yamlfile.shown(path)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            request = RecordedRequest.model_validate_json(line)
            json.dumps(request.request, allow_nan=False)
        except ValidationError as error:
            problem = yamlfile.problems_of(path, error)[0]
            problems.append(Problem(file, f"line {number} {problem.key}".strip(), problem.problem, problem.remedy))
        except ValueError:
            problems.append(Problem(file, f"line {number} request", "NaN or infinity is no JSON", "write null"))
        else:
            requests.append(request)
    if not requests and not problems:
        problems = [Problem(file, "", "holds no request", 'write lines like {"request": {"data": [[1, 2]]}}')]
    if problems:
        raise ConfigError(*problems)
    return requests


def sample(requests: Sequence[RecordedRequest], size: int) -> list[RecordedRequest]:
    """At most ``size`` of them, evenly spaced, the first and the last included."""
    if len(requests) <= size:
        return list(requests)
    if size == 1:
        return [requests[0]]
    return [requests[round(index * (len(requests) - 1) / (size - 1))] for index in range(size)]
