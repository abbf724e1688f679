"""The way back: from the endpoint's tags alone to the endpoint as it was before the rollout."""

import logging
from collections.abc import Callable

import tenacity

from saferollout.azure import Workspace
from saferollout.config import LeftCandidate
from saferollout.errors import AzureFailed, Refused
from saferollout.record import Owner, Phase, Record, without_record

GIVE_UP_S = 45 * 60.0
MAX_DELAY_S = 60.0


def _worth_insisting(error: BaseException) -> bool:
    """Users wait for it: an expired token or another operation's conflict (401, 409) may pass, too."""
    return isinstance(error, AzureFailed) and (error.retryable or error.status in (401, 409))


insisting = tenacity.retry(
    retry=tenacity.retry_if_exception(_worth_insisting),
    wait=tenacity.wait_random_exponential(multiplier=1, max=MAX_DELAY_S),
    stop=tenacity.stop_after_delay(GIVE_UP_S),
    before_sleep=tenacity.before_sleep_log(logging.getLogger(__name__), logging.WARNING),
    reraise=True,
)
"""Try again for a long time while Azure fails: half a rollback is worse than a late one."""


@insisting
def restore(workspace: Workspace, endpoint: str, *, rollout: str | None = None, force: bool = False) -> Record:
    """Undo the rollout that the endpoint's tags tell of: traffic first, then instances, then the candidate.

    Every step is skipped where Azure already shows it, so it can be repeated; while Azure fails it is, for three
    quarters of an hour. ``rollout`` undoes only the one with this id. Raises Refused without a rollout to undo, and
    Drifted when somebody else changed the traffic, unless ``force`` says that the baseline is wanted all the same.
    """

    def to_undo(tags: dict[str, str]) -> Record:
        found = Record.from_tags(tags)
        if found is None or (rollout and found.rollout != rollout):
            msg = f"endpoint {endpoint} has no rollout to undo"
            raise Refused(msg)
        return found

    state = workspace.existing(endpoint)
    record = to_undo(state.tags)
    baseline = record.baseline
    live = state.deployments.get(baseline.live)
    if live is None or live.provisioning_state == "Deleting" or record.phase is Phase.RETIRING:
        msg = f"deployment {baseline.live} is gone or being deleted: rollout {record.rollout} cannot be undone"
        raise Refused(msg)
    workspace.update_endpoint(
        endpoint,
        traffic=baseline.traffic,
        expected_traffic=None if force else record.traffic(),
        mirror={name: share for name, share in state.mirror_traffic.items() if name != record.candidate},
        tags=lambda tags: (
            without_record(tags) | to_undo(tags).model_copy(update={"phase": Phase.UNDOING, "stage": 0}).to_tags()
        ),
    )
    workspace.scale(endpoint, baseline.live, baseline.instance_count)
    if record.left_candidate is LeftCandidate.DELETE:
        workspace.delete_deployment(endpoint, record.candidate)
    workspace.update_endpoint(endpoint, tags=record.removed_from)
    return record


def restore_own(workspace: Workspace, endpoint: str, is_own: Callable[[Owner], bool]) -> Record | None:
    """``restore`` the endpoint's unfinished rollout if its owner is this one; None, and nothing done, otherwise."""
    record = Record.from_tags(insisting(workspace.existing)(endpoint).tags)
    if record is None or not record.unfinished or not is_own(record.owner):
        return None
    return restore(workspace, endpoint, rollout=record.rollout)
