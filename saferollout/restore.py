"""The way back: from the endpoint's tags alone to the endpoint as it was before the rollout."""

from collections.abc import Callable

from saferollout.azure import Workspace
from saferollout.config import LeftCandidate
from saferollout.errors import Refused
from saferollout.record import Owner, Phase, Record, without_record


def restore(workspace: Workspace, endpoint: str, *, rollout: str | None = None, force: bool = False) -> Record:
    """Undo the rollout that the endpoint's tags tell of: traffic first, then instances, then the candidate.

    Every step is skipped where Azure already shows it, so it can be repeated. ``rollout`` undoes only the one with
    this id. Raises Refused without a rollout to undo, and Drifted when somebody else changed the traffic, unless
    ``force`` says that the baseline is wanted all the same.
    """
    state = workspace.existing(endpoint)
    record = Record.from_tags(state.tags)
    if record is None or (rollout and record.rollout != rollout):
        msg = f"endpoint {endpoint} has no rollout to undo"
        raise Refused(msg)
    baseline = record.baseline
    if baseline.live not in state.deployments:
        msg = f"deployment {baseline.live} is gone: rollout {record.rollout} cannot be undone"
        raise Refused(msg)
    undoing = record.model_copy(update={"phase": Phase.UNDOING, "stage": 0})
    workspace.update_endpoint(
        endpoint,
        traffic=baseline.traffic,
        expected_traffic=None if force else record.traffic(),
        mirror={name: share for name, share in state.mirror_traffic.items() if name != record.candidate},
        tags=lambda tags: without_record(tags) | undoing.to_tags(),
    )
    workspace.scale(endpoint, baseline.live, baseline.instance_count)
    if record.left_candidate is LeftCandidate.DELETE:
        workspace.delete_deployment(endpoint, record.candidate)
    workspace.update_endpoint(endpoint, tags=record.removed_from)
    return record


def restore_own(workspace: Workspace, endpoint: str, is_own: Callable[[Owner], bool]) -> Record | None:
    """``restore`` the endpoint's unfinished rollout if its owner is this one; None, and nothing done, otherwise."""
    record = Record.from_tags(workspace.existing(endpoint).tags)
    if record is None or not record.unfinished or not is_own(record.owner):
        return None
    return restore(workspace, endpoint, rollout=record.rollout)
