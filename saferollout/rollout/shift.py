"""Shift: give the candidate its share of the traffic."""

from saferollout.azure.workspace import Workspace
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import Drifted
from saferollout.rollout.due import due_after
from saferollout.rollout.record import fitted
from saferollout.rollout.rollout import Rollout


def shift_traffic(azure: Workspace, rollout: Rollout, share: int, decision: Decision | None) -> None:
    """Set traffic, share and decision in one change; a share that is past keeps its traffic.

    Raises:
        Drifted: Somebody else changed the traffic meanwhile, or the share on record.
        GateFailed: The candidate is gone, broken or another deployment.
        Lost: The rollout is somebody else's by now.
    """
    state = azure.settled(rollout.endpoint, rollout.candidate)
    record = rollout.own_record(state.tags)
    if record.share > max(rollout.share, share):
        msg = (
            f"the tags of {rollout.endpoint} say that the rollout has reached {record.share}%: "
            "somebody else changed them"
        )
        raise Drifted(msg)
    rollout.own_candidate(state)
    reached = max(record.share, share)
    approvals = record.approvals | ({share: fitted(decision)} if decision else {})
    changes: dict[str, object] = {"share": reached, "approvals": approvals}
    if reached > record.share:
        changes |= {"asks": None, "frozen_until": None, "due": due_after(rollout.project.config, reached)}
    azure.update_endpoint(
        rollout.endpoint,
        traffic=rollout.traffic(reached),
        expected_traffic=record.traffic(),
        mirror=state.mirror_without(rollout.candidate),
        tags=lambda tags: rollout.advanced(tags, **changes),
    )
