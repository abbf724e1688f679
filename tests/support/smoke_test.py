"""Requests and findings that tests of the smoke test share."""

from collections.abc import Callable
from typing import Any

from saferollout.config.recorded_requests import RecordedRequest
from saferollout.domain.evidence import Check, Evidence

REQUESTS = [RecordedRequest(request={"data": number}, answer=[number]) for number in (1.0, 2.0, 3.0, 4.0)]


UNANSWERED = [RecordedRequest(request=request.request) for request in REQUESTS]


SmokeTest = Callable[..., Any]


def right(number: float) -> Any:
    """The answer that the file has."""
    return [number]


def check(evidence: Evidence, name: str) -> Check:
    """The line of the table with this name."""
    (found,) = [check for check in evidence.checks if check.check == name]
    return found


def failed(evidence: Evidence) -> list[str]:
    """The names of the checks that failed."""
    return [check.check for check in evidence.checks if check.passed is False]
