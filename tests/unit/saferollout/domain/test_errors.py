"""Errors: one line for a person, an exit code for a script, and whole after a way through another process."""

import copy
import pickle
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import (
    AzureFailed,
    ConfigError,
    DeploymentFailed,
    Drifted,
    GateFailed,
    Problem,
    Refused,
    Rejected,
    SaferolloutError,
)
from saferollout.domain.evidence import Evidence, GateVerdict

DECISION = Decision(share=10, decision="reject", approver="ann", at=datetime(2025, 1, 2, tzinfo=UTC), evidence="e")
ERRORS = [
    (ConfigError(Problem("a.yaml", "b", "c", "d"), Problem("e.yaml", "", "f", "g")), 2),
    (Refused("somebody else is at work"), 1),
    (GateFailed("smoke test failed", Evidence(gate="smoke test", verdict=GateVerdict.FAILED, summary="s")), 1),
    (Rejected("ann rejected 10%", DECISION), 1),
    (Drifted("blue=50 green=50"), 1),
    (DeploymentFailed("ResourceNotReady: init() raised"), 1),
    (AzureFailed("throttled", status=429, retryable=True), 3),
    (AzureFailed("no connection", retryable=True), 3),
]


@pytest.mark.parametrize("way", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy])  # noqa: S301 -- our own
@pytest.mark.parametrize(("error", "_"), ERRORS, ids=lambda value: type(value).__name__)
def test_an_error_comes_through_whole(
    error: SaferolloutError, _: int, way: Callable[[SaferolloutError], SaferolloutError]
) -> None:
    """Prefect pickles what a task raised: class, text and every attribute arrive."""
    again = way(error)

    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize(("error", "code"), ERRORS, ids=lambda value: type(value).__name__)
def test_the_class_decides_the_exit_code(error: SaferolloutError, code: int) -> None:
    """1 rolled back or refused, 2 bad input, 3 Azure or the network."""
    assert error.exit_code == code


def test_a_config_error_lists_its_problems() -> None:
    """One line a problem, without a gap where a whole file is wrong."""
    error = ERRORS[0][0]

    assert str(error) == "a.yaml: b: c; d\ne.yaml: f; g"


def test_an_azure_failure_is_final_unless_said() -> None:
    """Only what is known to be worth a retry is retried."""
    failed = AzureFailed("forbidden", status=403)

    assert (failed.status, failed.retryable) == (403, False)
