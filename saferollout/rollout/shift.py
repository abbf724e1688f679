"""Shift: give the candidate its share of the traffic."""

from saferollout.azure.workspace import Workspace
from saferollout.domain.endpoint import Decision
from saferollout.rollout import drift
from saferollout.rollout.due import due_after
from saferollout.rollout.record import fitted
from saferollout.rollout.rollout import Rollout


def shift_traffic(azure: Workspace, rollout: Rollout, share: int, decision: Decision | None) -> None:
    """Set traffic, share and decision in one change; a share that is past keeps its traffic.

    Raises:
        Drifted: Somebody else changed something meanwhile.
        GateFailed: The candidate is broken.
        Lost: The rollout is somebody else's by now.
    """
    state = azure.settled(rollout.endpoint, rollout.live, rollout.candidate)
    record = drift.check(azure, state, rollout, at_most=max(rollout.share, share))
    reached = max(record.share, share)
    approvals = record.approvals | ({share: fitted(decision)} if decision else {})
    traffic, counts = rollout.traffic(reached), drift.counted(state, record)
    changes: dict[str, object] = {"share": reached, "approvals": approvals, "instance_counts": counts}
    if reached > record.share:
        changes |= {"asks": None, "due": due_after(rollout.project.config, reached)}
    azure.update_endpoint(
        rollout.endpoint,
        traffic=traffic,
        check=drift.expecting(record.traffic(), traffic),
        mirror=state.mirror_without(rollout.candidate),
        tags=lambda tags: rollout.advanced(tags, **changes),
    )
