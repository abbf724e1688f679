"""Shift: give the candidate its share of the traffic."""

from saferollout.azure.workspace import Workspace
from saferollout.domain.endpoint import Decision
from saferollout.domain.errors import Drifted
from saferollout.rollout.record import fitted
from saferollout.rollout.rollout import Plan


def shift_traffic(azure: Workspace, plan: Plan, share: int, decision: Decision | None) -> None:
    """Set traffic, share and decision in one change; a share that is past keeps its traffic.

    Raises:
        Drifted: Somebody else changed the traffic meanwhile, or the share on record.
        GateFailed: The candidate is gone, broken or another deployment.
        Lost: The rollout is somebody else's by now.
    """
    state = azure.settled(plan.endpoint, plan.candidate)
    record = plan.own_record(state.tags)
    if record.stage > max(plan.stage, share):
        msg = (
            f"the tags of {plan.endpoint} say that the rollout has reached {record.stage}%: somebody else changed them"
        )
        raise Drifted(msg)
    plan.own_candidate(state)
    reached = max(record.stage, share)
    approvals = record.approvals | ({share: fitted(decision)} if decision else {})
    azure.update_endpoint(
        plan.endpoint,
        traffic=plan.traffic(reached),
        expected_traffic=record.traffic(),
        mirror=state.mirror_without(plan.candidate),
        tags=lambda tags: plan.advanced(tags, stage=reached, approvals=approvals),
    )
