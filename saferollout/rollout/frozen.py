"""Frozen: the record says until when a rollout waits for the end of a freeze, and that it is not overdue meanwhile."""

from datetime import datetime

from saferollout.azure.workspace import Workspace
from saferollout.rollout.due import due_after_freeze
from saferollout.rollout.rollout import Rollout


def note_freeze(azure: Workspace, rollout: Rollout, until: datetime) -> None:
    """Put on record that nothing is shifted `until` then, unless it is there.

    Raises:
        Lost: The rollout is somebody else's by now.
    """
    until = until.replace(microsecond=0)
    if rollout.own_record(azure.settled(rollout.endpoint).tags).frozen_until == until:
        return
    due = due_after_freeze(rollout.project.config, until)
    azure.update_endpoint(rollout.endpoint, tags=lambda tags: rollout.advanced(tags, frozen_until=until, due=due))
