"""Drain: what has had users is left alone until they are surely off it; only then is it deleted, or its name free."""

import logging
import time
from collections.abc import Callable

from saferollout.azure.workspace import Workspace
from saferollout.domain.words import plural
from saferollout.rollout.record import Phase, Record, now

log = logging.getLogger(__name__)

Wait = Callable[[Workspace, Record], None]
"""What waits until users are off a deployment; it gets the record as it was before the traffic was changed."""


def had_users(record: Record) -> bool:
    """Whether the candidate may have had users before the rollback."""
    return bool(record.share) or record.phase is Phase.ROLLING_BACK


class ByTime:
    """Waits for `Azure.drain_s`, where nobody can ask who serves users, since there are no recorded requests.

    Azure shows a change of traffic before its gateways follow, and requests under way need a while.
    """

    def __call__(self, azure: Workspace, record: Record) -> None:
        """Wait between the two halves of a rollback, when the traffic is back."""
        if had_users(record):
            _leave(record.candidate, azure.drain_s)

    def old(self, azure: Workspace, record: Record) -> None:
        """Wait before the old deployment of a finished rollout goes; not where its keep window ended long ago."""
        over_s = (now() - record.keep_until).total_seconds() if record.keep_until else 0
        _leave(record.baseline.live, azure.drain_s - max(0.0, over_s))


BY_TIME = ByTime()


def _leave(deployment: str, wait_s: float) -> None:
    if wait_s > 0:
        waits = plural(round(wait_s), "second")
        log.warning("%s is left for %s: without recorded requests nobody knows if users are off it", deployment, waits)
        time.sleep(wait_s)
