"""Skip: the record says who lets the judge be skipped, so that each such wish is for one gate only."""

from saferollout.approvals.tag import fitted
from saferollout.azure.workspace import Workspace
from saferollout.domain.endpoint import Decision
from saferollout.rollout.rollout import Rollout


def note_skip(azure: Workspace, rollout: Rollout, skip: Decision) -> None:
    """Put the decision to skip the judge on record.

    Raises:
        Lost: The rollout is somebody else's by now.
    """
    azure.update_endpoint(
        rollout.endpoint,
        tags=lambda tags: rollout.advanced(tags, skips=rollout.own_record(tags).skips | {skip.share: fitted(skip)}),
    )
