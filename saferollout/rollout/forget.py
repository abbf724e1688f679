"""The very end: the record of a rollout is taken off the endpoint, once its end has been reported."""

from functools import partial

from saferollout.azure.retries import insist
from saferollout.azure.workspace import Workspace
from saferollout.rollout.record import Phase, Record, without_record


def forget(workspace: Workspace, endpoint: str, rollout: str) -> None:
    """Take the record of this rollout off the endpoint if it is rolled back, or its old deployment is deleted.

    Until then, whoever finds the record reports for a process that was lost. A record of anything else stays.
    """

    @insist
    def attempt() -> None:
        state = workspace.settled(endpoint)
        record = Record.from_tags(state.tags)
        if record is None or record.rollout != rollout:
            return
        is_retired = record.phase is Phase.RETIRING and record.baseline.live not in state.deployments
        if not is_retired and record.phase is not Phase.ROLLING_BACK:
            return
        workspace.update_endpoint(endpoint, tags=partial(_take_off, record))

    attempt()


def _take_off(record: Record, tags: dict[str, str]) -> dict[str, str]:
    """The tags without this very record; any other one stays."""
    return without_record(tags) if Record.from_tags(tags) == record else tags
