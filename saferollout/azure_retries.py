"""When a call to Azure is made again at once, rather than failing: whatever it does is a reconciliation."""

import logging
from typing import Protocol, cast

import tenacity

from saferollout.errors import AzureFailed, Busy

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


signs_in_anew = tenacity.retry(
    retry=tenacity.retry_if_exception(_refused_token),
    wait=tenacity.wait_incrementing(start=0, increment=1),
    stop=tenacity.stop_after_attempt(3),
    before_sleep=tenacity.before_sleep_log(log, logging.WARNING),
    reraise=True,
)
"""Azure may refuse a token long before its time; one that is refused three times in a row will be refused again."""

waits_for_others = tenacity.retry(
    retry=tenacity.retry_if_exception_type(Busy),
    wait=tenacity.wait_random_exponential(multiplier=0.5, max=10),
    stop=_as_long_as_one_takes,
    before_sleep=tenacity.before_sleep_log(log, logging.INFO),
    reraise=True,
)
"""Azure takes one change at a time, and shows *Succeeded* a little before it takes the next: no reason to go back."""
