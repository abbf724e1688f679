"""Who serves users after a change of traffic, seen in answers to recorded requests."""

import asyncio

from prefect.logging import get_run_logger

from saferollout.azure.workspace import Workspace
from saferollout.config.project import Project
from saferollout.domain.errors import SaferolloutError
from saferollout.gates.scoring import Scorer
from saferollout.gates.served import Served, look_who_serves
from saferollout.rollout.record import Phase, Record

BACK_LIMIT_S = 60.0
"""How long a rollback waits: it ends all the same."""
TIMEOUT_S = 10.0


class Drain:
    """Waits, between the two halves of a rollback, until users are off the candidate, which may be deleted next."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._words = ""

    def __call__(self, azure: Workspace, record: Record) -> None:
        """Wait, but not for ever, and whatever fails: users have been given the live deployment back already."""
        if self._words or not (record.share or record.phase is Phase.ROLLING_BACK):
            return  # waited already, or the candidate never had users
        share = record.share or self._project.config.stages[0].traffic
        old = record.model_copy(update={"share": share}).traffic()
        try:
            self._words = asyncio.run(self._look(azure, record, old)).words
        except SaferolloutError as error:
            self._words = f"not verified where users are: {error}"

    async def _look(self, azure: Workspace, record: Record, old: dict[str, int]) -> Served:
        state = azure.get_endpoint(self._project.endpoint)
        async with Scorer(state.scoring_uri, azure.secret(state.name), timeout_s=TIMEOUT_S) as scorer:
            new = record.baseline.traffic
            return await look_who_serves(scorer, self._project.requests(), old=old, new=new, limit_s=BACK_LIMIT_S)

    def log(self) -> None:
        """Log what was seen, if anything was looked at."""
        if self._words:
            get_run_logger().info(self._words)
