"""Shift: give the candidate its share of the traffic."""

from saferollout.approvals.tag import fitted
from saferollout.azure.workspace import Workspace
from saferollout.domain.endpoint import Decision, DeploymentState
from saferollout.domain.errors import Drifted, GateFailed
from saferollout.rollout.rollout import Rollout


def shift_traffic(azure: Workspace, rollout: Rollout, share: int, decision: Decision | None) -> None:
    """Set traffic, share and decision in one change; a share that is past keeps its traffic.

    Raises:
        Drifted: Somebody else changed the traffic meanwhile, or the share on record.
        GateFailed: The candidate is gone, broken or another deployment, or not what the decision is about.
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
    candidate = rollout.own_candidate(state)
    if decision and record.share < share:
        _check_bound(decision, rollout, share, candidate)
    reached = max(record.share, share)
    approvals = record.approvals | ({share: fitted(decision)} if decision else {})
    azure.update_endpoint(
        rollout.endpoint,
        traffic=rollout.traffic(reached),
        expected_traffic=record.traffic(),
        mirror=state.mirror_without(rollout.candidate),
        tags=lambda tags: rollout.advanced(tags, share=reached, approvals=approvals),
    )


def _check_bound(decision: Decision, rollout: Rollout, share: int, candidate: DeploymentState) -> None:
    """Check that the decision approves this very change.

    Raises:
        GateFailed: It is a rejection, or about another share, rollout, revision or deployment.
    """
    bound = (decision.decision, decision.stage, decision.rollout, decision.revision)
    if bound != ("approve", share, rollout.id, rollout.revision):
        msg = f"the decision of {decision.approver} does not approve {share}% for this rollout's {rollout.candidate}"
        raise GateFailed(msg)
    if decision.deployment != candidate.digest:
        msg = (
            f"deployment {rollout.candidate} is no longer what {decision.approver} approved: somebody else changed its "
            "model, code, environment or instance type"
        )
        raise GateFailed(msg)
