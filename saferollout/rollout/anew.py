"""Anew: somebody else changed the candidate in place, so that it has to pass every gate again, from the first one."""

from saferollout.azure.workspace import Workspace
from saferollout.domain.composition import Composition
from saferollout.domain.endpoint import DeploymentState
from saferollout.domain.errors import Drifted, GateFailed
from saferollout.rollout import drift
from saferollout.rollout.due import due_after
from saferollout.rollout.hold import Hold
from saferollout.rollout.rollout import Rollout
from saferollout.rollout.shift import set_share

MAX_CHANGES = 5
"""Whoever changes the candidate more often goes on doing so: a person is asked whether to roll back."""


def is_changed(azure: Workspace, rollout: Rollout) -> bool:
    """Whether the candidate, now that nothing is under way there, is another than was tested, or was begun anew with.

    Raises:
        Lost: The rollout is somebody else's by now.
    """
    state = azure.settled(rollout.endpoint, rollout.live, rollout.candidate)
    record = rollout.own_record(state.tags)
    tested, candidate = rollout.made_of or record.made_of, state.deployments.get(rollout.candidate)
    return record.changes > rollout.changes or not tested or candidate is None or not candidate.is_as(tested.digest)


def begin_anew(azure: Workspace, rollout: Rollout) -> Rollout:
    """Give the users back to live, and take the candidate as it is now; return the rollout as it is from then on.

    What was approved is off the record in the same change. That a judge was skipped stays there: nobody wanted that
    for what the candidate is now, and the same wish must not count twice.

    Raises:
        Drifted: Somebody else changed more than the candidate, or changes it again and again.
        GateFailed: The candidate is broken, or is held as it is now.
        Lost: The rollout is somebody else's by now.
    """
    state = azure.settled(rollout.endpoint, rollout.live, rollout.candidate)
    record = rollout.own_record(state.tags)
    if record.changes > rollout.changes:
        return rollout.anew(record)  # an earlier try got that far
    found = drift.look(azure, state, record, rollout)
    if not all(each.is_change for each in found):
        drift.refuse(found)
    candidate = state.deployments[rollout.candidate]
    if candidate.broken:
        msg = f"deployment {rollout.candidate} is {candidate.provisioning_state} since somebody else changed it"
        raise GateFailed(msg)
    if record.changes >= MAX_CHANGES:
        msg = f"somebody else has changed deployment {rollout.candidate} {record.changes + 1} times"
        raise Drifted(msg, is_listed=True)
    _check_not_held(state.tags, rollout, candidate)
    if record.share:
        azure.scale_up(rollout.endpoint, rollout.live, rollout.live_instance_count)
    changes: dict[str, object] = {
        "approvals": {},
        "asks": None,
        "frozen_until": None,
        "due": due_after(rollout.project.config, 0),
        "instance_counts": drift.counted(azure.settled(rollout.endpoint), record),
        "made_of": Composition.of(candidate),
        "changed_from": rollout.made_of or record.made_of,
        "changes": record.changes + 1,
    }
    set_share(azure, rollout, state, record, 0, **changes)
    return rollout.anew(record.model_copy(update=changes | {"share": 0}))


def _check_not_held(tags: dict[str, str], rollout: Rollout, candidate: DeploymentState) -> None:
    """Check that nobody has changed the candidate into what is held; of this rollout's revision its begin decided.

    Raises:
        GateFailed: It is held as it is now.
    """
    hold = Hold.from_tags(tags)
    if hold and hold.deployment == candidate.digest and hold.holds(hold.revision) and hold.revision != rollout.revision:
        msg = f"somebody else changed deployment {candidate.name} into what is held: {hold.why()}"
        raise GateFailed(msg)
