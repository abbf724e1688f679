"""Thaw: the record says until when a rollout waits for the end of a freeze, and that it is not overdue meanwhile."""

from datetime import datetime

from saferollout.azure.workspace import Workspace
from saferollout.rollout.due import due_after_freeze
from saferollout.rollout.rollout import Rollout


def note_freeze(azure: Workspace, rollout: Rollout, share: int, until: datetime, *, asked: bool) -> bool:
    """Put on record that nothing is shifted `until` then, unless it is there; return whether that is waited for.

    It is not where the question of the `share` is open, and the run has not `asked` yet what the answer is.

    Raises:
        Lost: The rollout is somebody else's by now.
    """
    until = until.replace(microsecond=0)
    record = rollout.own_record(azure.settled(rollout.endpoint).tags)
    if not asked and record.asks and record.asks.share == share:
        return False
    if record.frozen_until == until:
        return True
    due = due_after_freeze(rollout.project.config, until)
    azure.update_endpoint(rollout.endpoint, tags=lambda tags: rollout.advanced(tags, frozen_until=until, due=due))
    return True
