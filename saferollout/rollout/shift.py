"""Shift: give the candidate its share of the traffic."""

from saferollout.approvals.tag import fitted
from saferollout.azure.workspace import Workspace
from saferollout.domain.endpoint import Decision, DeploymentState, EndpointState
from saferollout.domain.errors import Changed, GateFailed
from saferollout.rollout import drift
from saferollout.rollout.due import due_after
from saferollout.rollout.record import Record
from saferollout.rollout.rollout import Rollout


def shift_traffic(azure: Workspace, rollout: Rollout, share: int, decision: Decision | None) -> None:
    """Set traffic, share and decision in one change; a share that is past keeps its traffic.

    Raises:
        Drifted: Somebody else changed something meanwhile.
        GateFailed: The candidate is broken, or not what the decision is about.
        Lost: The rollout is somebody else's by now.
    """
    state = azure.settled(rollout.endpoint, rollout.live, rollout.candidate)
    is_past = share <= rollout.share
    record = drift.check(azure, state, rollout, at_most=max(rollout.share, share), is_past=is_past)
    if decision and record.share < share:
        _check_bound(decision, rollout, share, state.deployments[rollout.candidate])
    reached = max(record.share, share)
    approvals = record.approvals | ({share: fitted(decision)} if decision else {})
    changes: dict[str, object] = {"approvals": approvals, "instance_counts": drift.counted(state, record)}
    changes |= {"made_of": rollout.made_of} if rollout.made_of else {}
    if reached > record.share:
        changes |= {"asks": None, "frozen_until": None, "due": due_after(rollout.project.config, reached)}
    set_share(azure, rollout, state, record, reached, **changes)


def set_share(
    azure: Workspace, rollout: Rollout, state: EndpointState, record: Record, share: int, **changes: object
) -> None:
    """Give the candidate this share, and put it on the record with these changes, in one change of Azure's.

    Raises:
        Drifted: Somebody else changed the traffic since.
        Lost: The rollout is somebody else's by now.
    """
    traffic = rollout.traffic(share)
    azure.update_endpoint(
        rollout.endpoint,
        traffic=traffic,
        check=drift.expecting(record.traffic(), traffic),
        mirror=state.mirror_without(rollout.candidate),
        tags=lambda tags: rollout.advanced(tags, share=share, **changes),
    )


def _check_bound(decision: Decision, rollout: Rollout, share: int, candidate: DeploymentState) -> None:
    """Check that the decision approves this very change.

    Raises:
        Changed: It was about the candidate as it was before somebody else changed it.
        GateFailed: It is a rejection, or about another share, rollout or revision.
    """
    bound = (decision.decision, decision.share, decision.rollout, decision.revision)
    if bound != ("approve", share, rollout.id, rollout.revision):
        msg = f"the decision of {decision.approver} does not approve {share}% for this rollout's {rollout.candidate}"
        raise GateFailed(msg)
    if not candidate.is_as(decision.deployment):
        msg = f"deployment {rollout.candidate} is no longer what {decision.approver} approved: somebody else changed it"
        raise Changed(msg)
