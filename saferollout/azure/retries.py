"""When a call to Azure is made again, and how often, rather than failing: whatever it does is a reconciliation."""

import logging
import operator
from collections.abc import Callable
from typing import Protocol, TypeVar, cast

import tenacity

from saferollout.domain.errors import AzureFailed, Busy, DeploymentFailed

T = TypeVar("T")

GIVE_UP_S = 45 * 60.0
INSTANCES_S = 60.0
log = logging.getLogger(__name__)


class Patient(Protocol):
    """Whose methods these are for."""

    @property
    def operation_timeout_s(self) -> float:
        """How long one operation may take."""
        ...


def _refused_token(error: BaseException) -> bool:
    return isinstance(error, AzureFailed) and error.status == 401


def _as_long_as_one_takes(state: tenacity.RetryCallState) -> bool:
    patient = cast("Patient", state.args[0])
    return (state.seconds_since_start or 0) >= patient.operation_timeout_s


def _worth_insisting(error: BaseException) -> bool:
    """Whether Azure may yet do it: an operation that failed, an expired token, a conflict; not what it refuses."""
    if isinstance(error, AzureFailed):
        return error.retryable or error.status not in (None, 400, 403, 404)
    return isinstance(error, DeploymentFailed)


sign_in_anew = tenacity.retry(
    retry=tenacity.retry_if_exception(_refused_token),
    wait=tenacity.wait_incrementing(start=0, increment=1),
    stop=tenacity.stop_after_attempt(3),
    before_sleep=tenacity.before_sleep_log(log, logging.WARNING),
    reraise=True,
)
"""Azure may refuse a token long before its time; one that is refused three times in a row will be refused again."""

wait_for_others = tenacity.retry(
    retry=tenacity.retry_if_exception_type(Busy),
    wait=tenacity.wait_random_exponential(multiplier=0.5, max=10),
    stop=_as_long_as_one_takes,
    before_sleep=tenacity.before_sleep_log(log, logging.INFO),
    reraise=True,
)
"""Azure takes one change at a time, and shows *Succeeded* a little before it takes the next: no reason to go back."""

insist = tenacity.retry(
    retry=tenacity.retry_if_exception(_worth_insisting),
    wait=tenacity.wait_random_exponential(multiplier=1, max=60),
    stop=tenacity.stop_after_delay(GIVE_UP_S),
    before_sleep=tenacity.before_sleep_log(log, logging.WARNING),
    reraise=True,
)
"""A rollback tries again for a long time while Azure fails: half a rollback is worse than a late one."""

INSISTING_A_LITTLE = {"stop": tenacity.stop_after_delay(INSTANCES_S)}
"""For `insist(…).retry_with`: so long for instances, then the live deployment gets the traffic without them."""


def poll(look: Callable[[], T | None], timeout_s: float) -> T | None:
    """Return what `look` finds, or None if it finds nothing in time.

    Azure shows a change some time after it was made, soon or after minutes: the pauses grow from 0.25 to 10 seconds.
    """
    looking = tenacity.Retrying(
        retry=tenacity.retry_if_result(operator.not_),
        wait=tenacity.wait_exponential(multiplier=0.25, exp_base=1.5, max=10),
        stop=tenacity.stop_after_delay(timeout_s),
        retry_error_callback=lambda _: None,
    )
    return looking(look)
