"""What the demo says above the steps."""

import pytest
from prefect.client.schemas.objects import State
from prefect.states import Cancelling, Completed, Failed, Late, Paused, Pending, Running, Scheduled, Suspended

from saferollout_cli.demo.conductor import status_of


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (None, "the worker is starting the run"),
        (Scheduled(), "the worker is starting the run"),
        (Late(), "the worker is starting the run"),
        (Pending(), "the worker is starting the run"),
        (Running(), ""),
        (Suspended(), "waiting for a decision"),
        (Paused(), "waiting for a decision"),
        (Cancelling(), ""),
        (Completed(), ""),
        (Failed(), ""),
    ],
)
def test_a_run_that_has_ended_is_not_said_to_start(state: State[None] | None, status: str) -> None:
    """Only a run that waits for its worker, or for a person, needs a word."""
    assert status_of(state) == status
