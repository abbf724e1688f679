"""Drain: users are seen to be off what may be deleted next, by answers to recorded requests."""

import asyncio

from prefect.logging import get_run_logger

from saferollout.azure.workspace import Workspace
from saferollout.config.project import Project
from saferollout.domain.errors import SaferolloutError
from saferollout.gates.arrival import Served, Sight, look_who_serves
from saferollout.gates.scoring import Scorer
from saferollout.rollout.drain import ByTime, had_users
from saferollout.rollout.record import Record

BACK_LIMIT_S = 60.0
"""How long a rollback waits: it ends all the same."""
TIMEOUT_S = 10.0


class Drain(ByTime):
    """Waits until users are seen to be off what may be deleted next; by time where that cannot be seen."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._words = ""

    def __call__(self, azure: Workspace, record: Record) -> None:
        """Wait, but not for ever, and whatever fails: users have been given the live deployment back already."""
        if self._words or not had_users(record):
            return  # waited already, or the candidate never had users
        share = record.share or self._project.config.stages[0].traffic
        old = record.model_copy(update={"share": share}).traffic()
        if not self._look(azure, old, record.baseline.traffic):
            super().__call__(azure, record)

    def old(self, azure: Workspace, record: Record) -> None:
        """Wait until users are off the old deployment; no longer than a rollback would."""
        shares = [0, *(stage.traffic for stage in self._project.config.stages)]
        old = record.model_copy(update={"share": shares[-2]}).traffic()
        if not self._look(azure, old, record.traffic()):
            super().old(azure, record)

    def _look(self, azure: Workspace, old: dict[str, int], new: dict[str, int]) -> bool:
        """Look who serves users, and return whether anybody can know: then they have been waited for."""
        try:
            served = asyncio.run(self._served(azure, old, new))
        except SaferolloutError as error:
            self._words = f"not verified where users are: {error}"
            return False
        self._words = served.words
        return served.sight is not Sight.NOT_NAMED

    async def _served(self, azure: Workspace, old: dict[str, int], new: dict[str, int]) -> Served:
        state = azure.get_endpoint(self._project.endpoint)
        async with Scorer(state.scoring_uri, azure.secret(state.name), timeout_s=TIMEOUT_S) as scorer:
            return await look_who_serves(scorer, self._project.requests(), old=old, new=new, limit_s=BACK_LIMIT_S)

    def log(self) -> None:
        """Log what was seen, if anything was looked at."""
        if self._words:
            get_run_logger().info(self._words)
